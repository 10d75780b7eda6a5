"""Lose a worker node under load, then a node with an orchestrator; calls succeed and capacity recovers."""

import json
import os
import signal
import sys
from pathlib import Path

import psutil

from tests.clusters import ray_head
from tests.clusters.clients import Calls, calling

TASKS = ("age", "gender", "emotion")


def main(out: Path) -> None:
    """Write the results of the calls, and the time to recovery."""
    config = ray_head.base_config()
    for name in ("orchestrator", *TASKS):
        ray_head.deployment(config, name)["autoscaling_config"] |= {"min_replicas": 2, "max_replicas": 2}
    ray_head.start_plain()
    raylets = {}
    for group, cpus in (("frontend", 1), ("frontend", 1), ("cpu", 3), ("cpu", 3)):
        known = set(find_raylets())
        ray_head.start_node(group, cpus=cpus)
        (pid,) = set(find_raylets()) - known
        raylets.setdefault(group, []).append(pid)
    ray_head.deploy(config)
    ray_head.wait_until_running()
    spread = {name: len({r["node_id"] for r in found}) for name, found in ray_head.replicas().items()}
    with calling(2) as calls:
        ray_head.wait("callers are answered", lambda: len(calls.answers) >= 20)
        healed = {}
        for group, cpus in (("cpu", 3), ("frontend", 1)):
            os.kill(raylets[group][0], signal.SIGKILL)
            ray_head.wait("the node is missed", lambda group=group: len(ray_head.nodes(group)) == 1)
            lost = len(calls.answers)
            ray_head.wait("calls go on", lambda lost=lost: len(calls.answers) >= lost + 20)
            ray_head.start_node(group, cpus=cpus)
            healed[group] = ray_head.wait("all replicas run again", complete)
    figures = {
        "spread": spread,
        "calls": len(calls.answers),
        "failures": calls.failures,
        "longest_gap_s": max(later - earlier for earlier, later in zip(times(calls), times(calls)[1:], strict=False)),
        "complete_again_s": healed,
    }
    out.write_text(json.dumps(figures, indent=2))


def times(calls: Calls) -> list[float]:
    """Return the times of the responses."""
    return sorted(at for at, _ in calls.answers)


def complete() -> bool:
    """Return whether every deployment has its two replicas."""
    return [len(found) for found in ray_head.replicas().values()] == [2, 2, 2, 2]


def find_raylets() -> list[int]:
    """Return the raylets of this sandbox."""
    return [process.pid for process in psutil.process_iter() if process.name() == "raylet"]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
