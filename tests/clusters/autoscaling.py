"""Load on one task, then many clients, then one call to a task at zero: replicas and nodes over time."""

import io
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from PIL import Image

from tests.clusters import ray_head
from tests.clusters.clients import EXAMPLE, Calls, calling

GROUPS = {"frontend": (1, 2), "cpu": (1, 1), "emotion": (0, 2)}
"""Node groups of one CPU per node: minimum and maximum."""

_FACE = (150, 20, 300, 170)  # in the example: a small image, so that the worker's part of a call dominates


def main(out: Path) -> None:
    """Write the timeline, its events and the failed calls."""
    ray_head.start_autoscaled(GROUPS, out.parent)
    ray_head.deploy(scaled_config())
    ray_head.wait_until_running()
    timeline = Timeline()
    timeline.start()
    crowd: list[Calls] = []
    with calling(3, ["emotion"], picture()) as calls:  # the first of them wakes the task
        crowd.append(calls)
        woke = ray_head.wait("the sleeping task answers", lambda: calls.answers)
        timeline.mark("emotion answers")
        ray_head.wait("emotion has two replicas", lambda: timeline.latest("emotion") == 2)
        ray_head.wait("its group has two nodes", lambda: timeline.latest("emotion nodes") == 2)
    timeline.mark("load ends")
    ray_head.wait("emotion sleeps", lambda: timeline.latest("emotion") == 0)
    ray_head.wait("its nodes are gone", lambda: timeline.latest("emotion nodes") == 0)
    with calling(12, ["age"], picture()) as calls:
        crowd.append(calls)
        timeline.mark("many callers")
        ray_head.wait("there are two orchestrators", lambda: timeline.latest("orchestrator") == 2)
    timeline.mark("callers leave")
    ray_head.wait("one orchestrator is left", lambda: timeline.latest("orchestrator") == 1)
    ray_head.wait("its node is gone", lambda: timeline.latest("frontend nodes") == 1)
    timeline.stop()
    figures = {
        "woke_s": woke,
        "calls": sum(len(calls.answers) for calls in crowd),
        "failures": [failure for calls in crowd for failure in calls.failures],
        "marks": timeline.marks,
        "samples": timeline.samples,
    }
    out.write_text(json.dumps(figures, indent=1))


def scaled_config() -> dict[str, Any]:
    """Return the deployed Serve config with short delays and low targets, and emotion at zero in its own group."""
    config = ray_head.base_config()
    quick = {"upscale_delay_s": 1, "downscale_delay_s": 5, "metrics_interval_s": 1, "look_back_period_s": 2}
    for name in ("orchestrator", "age", "gender", "emotion"):
        ray_head.deployment(config, name)["autoscaling_config"] |= quick
    orchestrator = ray_head.deployment(config, "orchestrator")
    orchestrator["autoscaling_config"] |= {"max_replicas": 2, "target_ongoing_requests": 4}
    emotion = ray_head.deployment(config, "emotion")
    emotion["ray_actor_options"] = {"num_cpus": 1, "label_selector": {"mien/group": "emotion"}}
    emotion["autoscaling_config"] |= {"min_replicas": 0, "max_replicas": 2, "target_ongoing_requests": 0.1}
    return config


def picture() -> bytes:
    """Return the example's face as a JPEG."""
    held = io.BytesIO()
    Image.open(EXAMPLE).crop(_FACE).save(held, "JPEG")
    return held.getvalue()


class Timeline:
    """Counts replicas and nodes twice per second, on its own thread."""

    def __init__(self) -> None:
        self.samples: list[dict[str, float]] = []
        self.marks: list[tuple[float, str]] = []
        self._started = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def start(self) -> None:
        """Start counting."""
        self._thread.start()

    def stop(self) -> None:
        """Stop counting."""
        self._stop.set()
        self._thread.join()

    def mark(self, what: str) -> None:
        """Record an event."""
        self.marks.append((round(time.monotonic() - self._started, 1), what))

    def latest(self, name: str) -> float | None:
        """Return the last count."""
        return self.samples[-1][name] if self.samples else None

    def _sample(self) -> None:
        while not self._stop.wait(0.5):
            sample: dict[str, float] = {name: len(found) for name, found in ray_head.replicas().items()}
            sample |= {f"{group} nodes": len(ray_head.nodes(group)) for group in GROUPS}
            self.samples.append({"at": round(time.monotonic() - self._started, 1), **sample})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
