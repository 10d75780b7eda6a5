"""Concurrent clients that send calls until stopped, and the results of their calls."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import mien
from tests.clusters.ray_head import ADDRESS
from tests.photographs import EXAMPLE


@dataclass(slots=True)
class Calls:
    """The results of the calls."""

    started: float = field(default_factory=time.monotonic)
    answers: list[tuple[float, dict[str, str]]] = field(default_factory=list)
    """Seconds since the start, and the model version of each task in the response."""
    failures: list[str] = field(default_factory=list)
    """Calls that raised, and tasks whose status is not OK."""


@contextmanager
def calling(count: int, tasks: Sequence[str] | None = None, image: Path | bytes = EXAMPLE) -> Iterator[Calls]:
    """Keep `count` calls in flight while the block runs."""
    calls, stop = Calls(), threading.Event()
    with mien.Client(ADDRESS, timeout=60) as client:
        threads = [threading.Thread(target=_call, args=(client, image, tasks, calls, stop)) for _ in range(count)]
        for thread in threads:
            thread.start()
        try:
            yield calls
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def _call(
    client: mien.Client, image: Path | bytes, tasks: Sequence[str] | None, calls: Calls, stop: threading.Event
) -> None:
    while not stop.is_set():
        try:
            analysis = client.analyze(image, tasks=tasks)
        except mien.MienError as error:
            calls.failures.append(str(error))
            continue
        calls.failures += [f"{task.task}: {task.code} {task.message}" for task in analysis.tasks if not task.ok]
        versions = {task.task: task.model.version for task in analysis.tasks if task.model}
        calls.answers.append((time.monotonic() - calls.started, versions))
