"""Summarize a load test: latency percentiles, rates, errors by code, and the mean timing tree of the replies."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from google.rpc import code_pb2
from rich.table import Table

from mien.cli.bench.runner import Load, Sample
from mien.v1 import face_pb2

_PERCENTILES = (50, 90, 95, 99)


@dataclass(slots=True)
class Step:
    """A step's mean over all replies; a reply without the step counts as zero."""

    name: str
    mean_ms: float = 0.0
    children: list["Step"] = field(default_factory=list)

    def add(self, span: face_pb2.Span, weight: float) -> None:
        """Add a reply's span, with the reply's weight in the mean."""
        self.mean_ms += span.elapsed_ms * weight
        for child in span.children:
            found = next((step for step in self.children if step.name == child.name), None)
            if found is None:
                found = Step(child.name)
                self.children.append(found)
            found.add(child, weight)


@dataclass(frozen=True, slots=True)
class Report:
    """What a load measured. Times are wall times at the caller, but for the timing tree, which is the server's."""

    mode: str
    """"closed" or "open"."""
    concurrency: int | None
    rate: float | None
    """Requested calls per second."""
    duration_s: float
    warmup_s: float
    seed: int
    calls: int
    """Number of calls, including failed ones."""
    errors: dict[str, int]
    """Failed calls by code."""
    task_failures: dict[str, int]
    """Failed tasks in successful replies, by task and code."""
    requests_per_second: float
    """Successful calls, from the end of the warm-up to the last reply."""
    faces_per_second: float
    latency_ms: dict[str, float]
    """Of answered calls: p50, p90, p95, p99, mean, max; empty where none was answered."""
    timing: Step | None
    """Mean of the replies' timing trees."""

    def to_dict(self) -> dict[str, object]:
        """Return the report as a dict for JSON, with numbers rounded to three decimals."""
        rounded = _rounded(asdict(self))
        assert isinstance(rounded, dict)
        return rounded


def report(load: Load, samples: Sequence[Sample]) -> Report:
    """Summarize the samples of a load."""
    replies = [sample.outcome for sample in samples if not isinstance(sample.outcome, int)]
    errors = Counter(code_pb2.Code.Name(sample.outcome) for sample in samples if isinstance(sample.outcome, int))
    failures = Counter(
        f"{task.task} {code_pb2.Code.Name(task.status.code)}"
        for reply in replies
        for task in reply.tasks
        if task.status.code != code_pb2.OK
    )
    elapsed = max((sample.ended for sample in samples), default=load.warmup) - load.warmup
    tree = Step("total") if replies else None
    for reply in replies:
        if tree:
            tree.add(reply.timing.total, 1 / len(replies))
    return Report(
        mode="open" if load.rate else "closed",
        concurrency=load.concurrency,
        rate=load.rate,
        duration_s=load.duration,
        warmup_s=load.warmup,
        seed=load.seed,
        calls=len(samples),
        errors=dict(errors),
        task_failures=dict(failures),
        requests_per_second=len(replies) / elapsed if elapsed else 0.0,
        faces_per_second=sum(len(reply.faces) for reply in replies) / elapsed if elapsed else 0.0,
        latency_ms=_latencies([s.ended - s.due for s in samples if not isinstance(s.outcome, int)]),
        timing=tree,
    )


def table(result: Report) -> Table:
    """Return the report as a table: one row per metric, then one row per step."""
    shown = Table(show_header=False)
    shown.add_row("load", f"{result.concurrency} in flight" if result.concurrency else f"{result.rate:g} per second")
    shown.add_row("calls", f"{result.calls} in {result.duration_s:g} s after {result.warmup_s:g} s of warm-up")
    for code, count in (*result.errors.items(), *result.task_failures.items()):
        shown.add_row(f"failed: {code}", str(count))
    shown.add_row("throughput", f"{result.requests_per_second:.1f} requests/s, {result.faces_per_second:.1f} faces/s")
    for name, value in result.latency_ms.items():
        shown.add_row(name, f"{value:.1f} ms")
    shown.add_section()
    if result.timing:
        _add_steps(shown, result.timing, 0)
    return shown


def _add_steps(shown: Table, step: Step, depth: int) -> None:
    shown.add_row("  " * depth + step.name, f"{step.mean_ms:.2f} ms")
    for child in step.children:
        _add_steps(shown, child, depth + 1)


def _latencies(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    values = np.array(seconds) * 1e3
    percentiles = zip(_PERCENTILES, np.percentile(values, _PERCENTILES), strict=True)
    return {f"p{q}": float(value) for q, value in percentiles} | {
        "mean": float(values.mean()),
        "max": float(values.max()),
    }


def _rounded(value: object) -> object:
    match value:
        case float():
            return round(value, 3)
        case dict():
            return {name: _rounded(item) for name, item in value.items()}
        case list():
            return [_rounded(item) for item in value]
    return value
