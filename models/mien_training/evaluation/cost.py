"""Measure the cost of models: bytes, parameters and milliseconds per call, interleaved so that they are comparable.

Run from the repository's root:

    python -m mien_training.evaluation.cost --out models/results/cost.json
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import typer

from mien_models import runtimes
from mien_models.errors import ModelError
from mien_models.registry import Entry
from mien_models.spec import Task
from mien_training import installation
from mien_training.results import provenance

BATCHES = (1, 8, 32)
"""Faces per call."""

_ROUNDS = 51
_FEWEST = 7
_SECONDS = 45.0  # no further round starts after this time; large networks need fewer rounds

Key = TypeVar("Key")


def main(
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="Result file; else standard output.")] = None,
) -> None:
    """Measure all models of the package and the model store, on one thread."""
    try:
        entries = installation.registry().entries()
        calls = {
            (entry.spec.name, task, batch): call
            for entry in entries
            for task in entry.spec.heads
            for batch, call in _calls(entry, task).items()
        }
        times = in_turns(calls)
        report = provenance.text(
            {
                **provenance.of_run("mien_training.evaluation.cost", {"--out": out}),
                "machine": provenance.machine(),
                "models": {
                    entry.spec.name: {**_size(entry), **_times(entry, list(entry.spec.heads), times)}
                    for entry in entries
                },
            }
        )
        if out:
            provenance.write({out: report})
        else:
            typer.echo(report, nl=False)
    except (ModelError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


def measure(entry: Entry, tasks: Sequence[Task]) -> dict[str, object]:
    """Return one model's parameters, bytes and median milliseconds per call for each task and batch size."""
    calls = {(entry.spec.name, task, batch): call for task in tasks for batch, call in _calls(entry, task).items()}
    return {**_size(entry), "threads": 1, **_times(entry, tasks, in_turns(calls))}


def in_turns(calls: Mapping[Key, Callable[[], object]]) -> dict[Key, float]:
    """Return the median milliseconds of each call; each round makes all calls, so that load affects them equally.

    Measures the thread's processor time, which other processes affect little.
    """
    seconds: dict[Key, list[float]] = {key: [] for key in calls}
    for call in calls.values():
        call()
    begun = time.perf_counter()
    for done in range(_ROUNDS):
        if done >= _FEWEST and time.perf_counter() - begun > _SECONDS:
            break
        for key, call in calls.items():
            started = time.thread_time()
            call()
            seconds[key].append(time.thread_time() - started)
    return {key: round(statistics.median(taken) * 1000, 3) for key, taken in seconds.items()}


def _calls(entry: Entry, task: Task) -> dict[int, Callable[[], object]]:
    served, size = runtimes.load(entry, task), entry.spec.crop.size
    random = np.random.default_rng(0)
    stacks = {batch: random.integers(0, 256, (batch, size, size, 3), np.uint8) for batch in BATCHES}
    return {batch: lambda stack=stack: served.predict(stack) for batch, stack in stacks.items()}  # type: ignore[misc]


def _size(entry: Entry) -> dict[str, object]:
    weights = entry.weights
    return {
        "digest": entry.digest,
        "parameters": entry.spec.parameters,
        "bytes": weights.bytes if weights else None,
    }


def _times(entry: Entry, tasks: Sequence[Task], times: Mapping[tuple[str, Task, int], float]) -> dict[str, object]:
    name = entry.spec.name
    return {"milliseconds": {task: {str(batch): times[name, task, batch] for batch in BATCHES} for task in tasks}}


if __name__ == "__main__":
    typer.run(main)
