"""Which tasks can be answered now, told to whoever listens."""

from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias

from mien_models.spec import Task

Cause: TypeAlias = Literal["starting", "failing"]
"""Why a task cannot be answered: no worker runs yet, or its model fails again and again."""


class TaskHealth:
    """Keeps what speaks against each task."""

    def __init__(self) -> None:
        self._causes: dict[Task, set[Cause]] = {}
        self._listener: Callable[[Task, bool], None] | None = None

    def serves(self, task: Task) -> bool:
        """Return whether the task can be answered."""
        return not self._causes.get(task)

    def listen(self, listener: Callable[[Task, bool], None]) -> None:
        """Tell `listener` of each task that can be answered again, or cannot any more."""
        self._listener = listener

    def mark(self, tasks: Iterable[Task], cause: Cause, holds: bool) -> None:
        """Note that a cause holds for some tasks, or does no longer."""
        for task in tasks:
            before = self.serves(task)
            causes = self._causes.setdefault(task, set())
            (causes.add if holds else causes.discard)(cause)
            if self._listener and self.serves(task) != before:
                self._listener(task, not before)
