"""Where a request's time goes: steps measured from its arrival, as a tree of spans."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mien.v1 import face_pb2


class Stopwatch:
    """Measures the steps of one request; may be used from one thread after another."""

    def __init__(self) -> None:
        self._arrival = time.perf_counter()

    def now_ms(self) -> float:
        """Milliseconds since the request's arrival."""
        return (time.perf_counter() - self._arrival) * 1e3

    @contextmanager
    def step(self, name: str, into: list[face_pb2.Span]) -> Iterator[face_pb2.Span]:
        """Measure what happens inside, and append it to `into` when it is done."""
        span = face_pb2.Span(name=name, start_ms=self.now_ms())
        try:
            yield span
        finally:
            span.elapsed_ms = self.now_ms() - span.start_ms
            into.append(span)


def consecutive(start_ms: float, parts: Sequence[tuple[str, float]]) -> list[face_pb2.Span]:
    """Return spans that follow each other from `start_ms`; parts of no length are left out."""
    spans = []
    for name, elapsed in parts:
        if elapsed > 0:
            spans.append(face_pb2.Span(name=name, start_ms=start_ms, elapsed_ms=elapsed))
            start_ms += elapsed
    return spans


def critical_path(steps: Sequence[face_pb2.Span]) -> list[str]:
    """Return the names of the steps waited for: of tasks that run beside each other, the one that ended last."""
    names = []
    for step in steps:
        if step.name == "tasks" and step.children:
            names.append(max(step.children, key=lambda child: child.start_ms + child.elapsed_ms).name)
        else:
            names.append(step.name)
    return names
