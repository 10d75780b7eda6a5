"""Kill processes under load, three of each kind: workers, orchestrators, raylets with all processes of their node."""

import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

import mien
from tests.clusters import ray_head
from tests.photographs import distinct, numbers

IN_FLIGHT = 16
REPLICAS = ("emotion", "age", "gender", "orchestrator", "orchestrator", "orchestrator")
"""Deployments of which a replica is killed, one after the other."""
NODES_OF = ("emotion", "orchestrator", "emotion")
"""Deployments of which a replica's node is lost: the raylet is killed, and the node's processes end with it."""
GROUPS = {"frontend": (3, 1), "cpu": (4, 3)}
"""Number of nodes in each group, and CPUs per node: two of each group suffice, the others may be lost."""

_ROUNDING = 1e-3
"""Largest accepted difference from the response without other calls in flight."""


@dataclass(slots=True)
class Crowd:
    """The results of the calls: times and errors."""

    answers: list[float] = field(default_factory=list)
    """Times, by `time.monotonic`."""
    failures: list[tuple[float, str]] = field(default_factory=list)
    """Calls that raised, and tasks whose status is not OK."""
    wrong: list[float] = field(default_factory=list)
    """Responses that are not of the request's photograph."""


def main(out: Path) -> None:
    """Write, for each kill, the failed calls, the wrong responses, the longest gap and the recovery time."""
    config = ray_head.base_config()
    for name in ("orchestrator", "age", "gender", "emotion"):
        ray_head.deployment(config, name)["autoscaling_config"] |= {"min_replicas": 2, "max_replicas": 2}
    ray_head.start_plain()
    raylets = dict(start_node(group, cpus) for group, (count, cpus) in GROUPS.items() for _ in range(count))
    ray_head.deploy(config)
    ray_head.wait_until_running()
    ray_head.wait("all replicas run", complete)
    photographs = distinct(48)
    alone = [ask_alone(image) for image in photographs]
    kills: list[dict[str, Any]] = []
    with calling(photographs, alone) as crowd:
        ray_head.wait("callers are answered", lambda: len(crowd.answers) >= 2 * IN_FLIGHT)
        for name in REPLICAS:
            what = "orchestrator" if name == "orchestrator" else "worker"
            kills.append(kill(what, crowd, first_replica(name)["pid"]))
            out.write_text(json.dumps({"calls": len(crowd.answers), "kills": kills}, indent=1))
        for name in NODES_OF:
            kills.append(kill("raylet", crowd, raylets[first_replica(name)["node_id"]]))
            out.write_text(json.dumps({"calls": len(crowd.answers), "kills": kills}, indent=1))


def kill(what: str, crowd: Crowd, pid: int) -> dict[str, Any]:
    """Kill a process and wait until the cluster has recovered and many more calls have succeeded."""
    before = len(crowd.answers), len(crowd.failures), len(crowd.wrong)
    killed = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    ray_head.wait("the dead process is missed", lambda: not complete())
    ray_head.wait("the cluster is whole again", complete)
    seconds = time.monotonic() - killed
    answered = len(crowd.answers)
    ray_head.wait("callers are answered", lambda: len(crowd.answers) >= answered + 4 * IN_FLIGHT)
    moments = [killed, *sorted(crowd.answers[before[0] :])]
    return {
        "killed": what,
        "recovery_s": round(seconds, 1),
        "answered": len(moments) - 1,
        "failed": [error for _, error in crowd.failures[before[1] :]],
        "wrong": len(crowd.wrong) - before[2],
        "longest_gap_s": round(max(later - earlier for earlier, later in itertools.pairwise(moments)), 2),
    }


def start_node(group: str, cpus: int) -> tuple[str, int]:
    """Start a node; return its id and its raylet's process id."""
    nodes, raylets = {node["NodeID"] for node in ray_head.nodes(group)}, find_raylets()
    ray_head.start_node(group, cpus=cpus)
    (node,) = {node["NodeID"] for node in ray_head.nodes(group)} - nodes
    (raylet,) = find_raylets() - raylets
    return node, raylet


def complete() -> bool:
    """Return whether every deployment has its two replicas, on running processes."""
    found = ray_head.replicas()
    return len(found) == 4 and all(
        len(replicas) == 2 and all(psutil.pid_exists(replica["pid"]) for replica in replicas)
        for replicas in found.values()
    )


def first_replica(name: str) -> dict[str, Any]:
    """Return Serve's details of a deployment's first replica."""
    return ray_head.replicas()[name][0]


def find_raylets() -> set[int]:
    """Return the raylets of this sandbox."""
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            if process.name() == "raylet" and process.status() != psutil.STATUS_ZOMBIE:
                found.add(process.pid)
    return found


def ask_alone(image: bytes) -> NDArray[np.float64]:
    """Return the cluster's response to a photograph, with nothing else in flight."""
    with mien.Client(ray_head.ADDRESS, timeout=60) as client:
        return numbers(client.analyze(image).message)


@contextmanager
def calling(photographs: Sequence[bytes], alone: Sequence[NDArray[np.float64]]) -> Iterator[Crowd]:
    """Keep `IN_FLIGHT` calls in flight, each over its own connection, while the block runs."""
    crowd, stop = Crowd(), threading.Event()
    order = itertools.count()
    threads = [threading.Thread(target=_call, args=(photographs, alone, order, crowd, stop)) for _ in range(IN_FLIGHT)]
    for thread in threads:
        thread.start()
    try:
        yield crowd
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _call(
    photographs: Sequence[bytes],
    alone: Sequence[NDArray[np.float64]],
    order: Iterator[int],
    crowd: Crowd,
    stop: threading.Event,
) -> None:
    with mien.Client(ray_head.ADDRESS, timeout=60) as client:
        while not stop.is_set():
            place = next(order) % len(photographs)
            try:
                analysis = client.analyze(photographs[place])
            except mien.MienError as error:
                crowd.failures.append((time.monotonic(), f"{type(error).__name__}: {error}"))
                continue
            failed = [task for task in analysis.tasks if not task.ok]
            crowd.failures += [(time.monotonic(), f"{task.task}: {task.code} {task.message}") for task in failed]
            if not failed and np.abs(numbers(analysis.message) - alone[place]).max() > _ROUNDING:
                crowd.wrong.append(time.monotonic())
            crowd.answers.append(time.monotonic())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
