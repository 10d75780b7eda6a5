"""Change a task's model under load, through the Serve config only; then to one that does not exist."""

import json
import re
import shutil
import sys
import time
import urllib.request
from pathlib import Path

import ray

from tests.clusters import ray_head
from tests.clusters.clients import Calls, calling
from tests.deploy.queries import metric_names

WEIGHTS = ray_head.ROOT / "models" / "mien_models" / "weights"
NEXT = "mien-emotion-next"


def main(out: Path) -> None:
    """Write the results of the calls, and the replicas before and after."""
    config = ray_head.base_config()
    config["applications"][0]["args"]["models"] = {"folders": [str(next_model(out.parent))]}
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
        requested = len(calls.answers)
        ray_head.wait("calls succeed after a wrong model", lambda: len(calls.answers) >= requested + 60)
        ray_head.wait_until_running()
    ray_head.wait("the queried metrics exist", lambda: metric_names() <= metrics())  # Ray's appear late
    figures = {
        "calls": len(calls.answers),
        "failures": calls.failures,
        "change_s": changed,
        "until_next_alone_s": took,
        "before_change": sorted({received["emotion"] for at, received in calls.answers if at < changed}),
        "after_wrong_model": sorted(set(versions(calls)[requested:])),
        "other_versions": sorted({received[task] for _, received in calls.answers for task in ("age", "gender")}),
        "replicas_before": before,
        "replicas_after": replica_ids(),
    }
    out.write_text(json.dumps(figures, indent=2))


def versions(calls: Calls) -> list[str]:
    """Return the versions of the emotion model, in the order of the responses."""
    return [received["emotion"] for _, received in calls.answers]


def next_model(folder: Path) -> Path:
    """Create a folder with the emotion model under another name and version."""
    models = folder / "models"
    models.mkdir()
    spec = json.loads((WEIGHTS / "mien-emotion.json").read_text())
    spec |= {"name": NEXT, "version": "1.0.1", "int8": None, "weights": {**spec["weights"], "file": f"{NEXT}.onnx"}}
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
