"""A task's model is changed under load, through the Serve config alone; then to one that does not exist."""

import json
import re
import shutil
import sys
import time
import urllib.request
from pathlib import Path

import ray

from tests.clusters import ray_head
from tests.clusters.callers import Calls, calling
from tests.deploy.queries import metric_names

WEIGHTS = ray_head.ROOT / "models" / "mien_models" / "weights"
NEXT = "mien-emotion-next"


def main(out: Path) -> None:
    """Write what callers saw and which replicas ran before and after."""
    config = ray_head.base_config()
    config["applications"][0]["args"]["model_folders"] = [str(next_model(out.parent))]
    emotion = ray_head.deployment(config, "emotion")
    emotion["autoscaling_config"] |= {"min_replicas": 2, "max_replicas": 2}
    ray_head.start_plain()
    ray_head.start_node("frontend", cpus=1)
    ray_head.start_node("cpu", cpus=2)
    ray_head.deploy(config)
    ray_head.wait_until_running()
    before = replica_ids()
    with calling(4) as calls:
        ray_head.wait("callers are answered", lambda: len(calls.answers) >= 20)
        changed = time.monotonic() - calls.started
        emotion["user_config"] = {"model": NEXT}
        ray_head.deploy(config)
        took = ray_head.wait("the next model answers alone", lambda: versions(calls)[-40:] == ["1.0.1"] * 40)
        emotion["user_config"] = {"model": "nose-net"}
        ray_head.deploy(config)
        asked = len(calls.answers)
        ray_head.wait("callers are answered after a wrong model", lambda: len(calls.answers) >= asked + 60)
        ray_head.wait_until_running()
    ray_head.wait("the metrics asked for are told", lambda: metric_names() <= metrics())  # Ray's come late
    figures = {
        "calls": len(calls.answers),
        "failures": calls.failures,
        "change_s": changed,
        "until_next_alone_s": took,
        "before_change": sorted({seen["emotion"] for at, seen in calls.answers if at < changed}),
        "after_wrong_model": sorted(set(versions(calls)[asked:])),
        "other_versions": sorted({seen[task] for _, seen in calls.answers for task in ("age", "gender")}),
        "replicas_before": before,
        "replicas_after": replica_ids(),
    }
    out.write_text(json.dumps(figures, indent=2))


def versions(calls: Calls) -> list[str]:
    """Return the versions of the emotion model, in the order of the answers."""
    return [seen["emotion"] for _, seen in calls.answers]


def next_model(folder: Path) -> Path:
    """Make a folder with the emotion model under another name and version."""
    models = folder / "models"
    models.mkdir()
    spec = json.loads((WEIGHTS / "mien-emotion.json").read_text())
    spec |= {"name": NEXT, "version": "1.0.1", "weights": {**spec["weights"], "file": f"{NEXT}.onnx"}}
    (models / f"{NEXT}.json").write_text(json.dumps(spec))
    shutil.copy(WEIGHTS / "mien-emotion.onnx", models / f"{NEXT}.onnx")
    return models


def metrics() -> set[str]:
    """Return the names of the metrics that the nodes and the orchestrator export."""
    names = set()
    for port in (*(node["MetricsExportPort"] for node in ray.nodes()), ray_head.METRICS_PORT):
        url = f"http://127.0.0.1:{port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as reply:
            names |= set(re.findall(r"^(?:# TYPE )?(\w+)", reply.read().decode(), re.MULTILINE))
    return names


def replica_ids() -> dict[str, list[str]]:
    """Return the running replicas of each deployment."""
    return {name: sorted(r["replica_id"] for r in found) for name, found in ray_head.replicas().items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
