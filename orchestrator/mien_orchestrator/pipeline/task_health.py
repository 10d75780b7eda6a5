"""Health of each task, with notification of changes."""

from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias

from mien_models.spec import Task

Cause: TypeAlias = Literal["starting", "failing"]
"""Cause of an unavailable task: no running worker, or an open circuit breaker."""


class TaskHealth:
    """Tracks the causes that make each task unavailable."""

    def __init__(self) -> None:
        self._causes: dict[Task, set[Cause]] = {}
        self._listener: Callable[[Task, bool], None] | None = None

    def serves(self, task: Task) -> bool:
        """Return whether the task is available."""
        return not self._causes.get(task)

    def listen(self, listener: Callable[[Task, bool], None]) -> None:
        """Call `listener` with each task whose availability changes, and with the new state."""
        self._listener = listener

    def mark(self, tasks: Iterable[Task], cause: Cause, holds: bool) -> None:
        """Set or clear a cause for some tasks."""
        for task in tasks:
            before = self.serves(task)
            causes = self._causes.setdefault(task, set())
            (causes.add if holds else causes.discard)(cause)
            if self._listener and self.serves(task) != before:
                self._listener(task, not before)
