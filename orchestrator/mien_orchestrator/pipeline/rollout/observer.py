"""The observer interface of rollouts: the answers of every model, and the comparisons of shadows."""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

from mien.v1.face_pb2 import ModelInfo
from mien_models.spec import Task
from mien_orchestrator.pipeline.backend import Outcome
from mien_orchestrator.pipeline.rollout.difference import Difference

Role: TypeAlias = Literal["stable", "canary", "shadow", "named"]
"""What a model's answer is for: the reply, as one of the settings, as a canary or by name; or a comparison."""


class RolloutObserver(Protocol):
    """Called on the server's event loop; must be fast and must not raise."""

    def answered(self, task: Task, model: ModelInfo, role: Role, outcome: Outcome) -> None:
        """Handle the answer of a model, or its error."""

    def compared(self, task: Task, shadow: ModelInfo, difference: Difference) -> None:
        """Handle the comparison of a shadow's answers with those of the stable model."""

    def dropped(self, task: Task, shadow: ModelInfo) -> None:
        """Handle a request that a shadow did not answer, since it was busy."""


class Observers:
    """Passes everything on to several observers."""

    def __init__(self, observers: Sequence[RolloutObserver]) -> None:
        self._observers = observers

    def answered(self, task: Task, model: ModelInfo, role: Role, outcome: Outcome) -> None:
        """Handle the answer of a model, or its error."""
        for observer in self._observers:
            observer.answered(task, model, role, outcome)

    def compared(self, task: Task, shadow: ModelInfo, difference: Difference) -> None:
        """Handle a comparison."""
        for observer in self._observers:
            observer.compared(task, shadow, difference)

    def dropped(self, task: Task, shadow: ModelInfo) -> None:
        """Handle a request without a comparison."""
        for observer in self._observers:
            observer.dropped(task, shadow)
