"""Record the timed steps of a request as a tree of spans."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from mien.v1 import face_pb2


class SpanRecorder:
    """Records the steps of one request; may be used from one thread after another."""

    def __init__(self) -> None:
        self._arrival = time.perf_counter()
        self.steps: list[face_pb2.Span] = []
        """The recorded steps, in the order in which they ended."""

    def now_ms(self) -> float:
        """Return the milliseconds since the request's arrival."""
        return (time.perf_counter() - self._arrival) * 1e3

    @contextmanager
    def step(self, name: str) -> Iterator[face_pb2.Span]:
        """Measure the block, and record it as a step when it ends; children may be added to the yielded span."""
        span = face_pb2.Span(name=name, start_ms=self.now_ms())
        try:
            yield span
        finally:
            span.elapsed_ms = self.now_ms() - span.start_ms
            self.steps.append(span)

    def add_since(self, name: str, start_ms: float) -> None:
        """Record a step that began at `start_ms` and ends now."""
        self.steps.extend(consecutive(start_ms, [(name, self.now_ms() - start_ms)]))


def consecutive(start_ms: float, parts: Iterable[tuple[str, float]]) -> list[face_pb2.Span]:
    """Return consecutive spans from `start_ms` on, from names and durations in ms; empty ones are omitted."""
    spans = []
    for name, elapsed in parts:
        if elapsed > 0:
            spans.append(face_pb2.Span(name=name, start_ms=start_ms, elapsed_ms=elapsed))
            start_ms += elapsed
    return spans


def critical_path(steps: Sequence[face_pb2.Span]) -> list[str]:
    """Return the names of the steps that determined the latency: of parallel tasks, the one that ended last."""
    names = []
    for step in steps:
        if step.name == "tasks" and step.children:
            names.append(max(step.children, key=lambda child: child.start_ms + child.elapsed_ms).name)
        else:
            names.append(step.name)
    return names
