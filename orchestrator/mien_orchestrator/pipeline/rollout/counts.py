"""Count the answers of each model and the differences of shadows, for `GetServerInfo`."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from mien.v1 import rollout_pb2 as pb
from mien.v1.face_pb2 import ModelInfo
from mien_models.spec import Task
from mien_orchestrator.pipeline.backend import Outcome
from mien_orchestrator.pipeline.rollout.difference import Difference
from mien_orchestrator.pipeline.rollout.observer import Role
from mien_orchestrator.pipeline.rollout.rollouts import Rollouts


@dataclass(slots=True)
class _Traffic:
    requests: int = 0
    errors: int = 0
    milliseconds: float = 0.0

    def message(self, model: ModelInfo, share: float) -> pb.ModelTraffic:
        answered = self.requests - self.errors
        mean = self.milliseconds / answered if answered else None
        return pb.ModelTraffic(
            model=model, share=share, requests=self.requests, errors=self.errors, mean_latency_ms=mean
        )


@dataclass(slots=True)
class _Compared:
    faces: int = 0
    dropped: int = 0
    labels: int | None = None
    years: float | None = None

    def message(self) -> pb.ShadowComparison:
        return pb.ShadowComparison(
            faces=self.faces,
            dropped_requests=self.dropped,
            differing_labels=None if self.labels is None else self.labels / self.faces,
            years_apart=None if self.years is None else self.years / self.faces,
        )


class RolloutCounts:
    """Counts since the service was made; a `RolloutObserver`."""

    def __init__(self) -> None:
        self._traffic: defaultdict[tuple[Task, Role], _Traffic] = defaultdict(_Traffic)
        self._compared: defaultdict[Task, _Compared] = defaultdict(_Compared)

    def answered(self, task: Task, model: ModelInfo, role: Role, outcome: Outcome) -> None:
        """Count an answer or an error."""
        traffic = self._traffic[task, role]
        traffic.requests += 1
        if outcome.prediction:
            traffic.milliseconds += outcome.elapsed_ms
        else:
            traffic.errors += 1

    def compared(self, task: Task, shadow: ModelInfo, difference: Difference) -> None:
        """Add a comparison."""
        found = self._compared[task]
        if difference.labels is not None:
            found.faces += len(difference.labels)
            found.labels = (found.labels or 0) + int(difference.labels.sum())
        if difference.years is not None:
            found.faces += len(difference.years)
            found.years = (found.years or 0.0) + float(difference.years.sum())

    def dropped(self, task: Task, shadow: ModelInfo) -> None:
        """Count a request without a comparison."""
        self._compared[task].dropped += 1

    def messages(self, rollouts: Rollouts) -> Mapping[str, pb.Rollout]:
        """Return the rollout of each task that has a canary or a shadow."""
        tasks = [task for task in rollouts.stable.models if task in rollouts.canaries or task in rollouts.shadows]
        return {task: self._message(task, rollouts) for task in tasks}

    def _message(self, task: Task, rollouts: Rollouts) -> pb.Rollout:
        canary, shadow = rollouts.canaries.get(task), rollouts.shadows.get(task)
        share = 1 - canary.share if canary else 1.0
        message = pb.Rollout(stable=self._traffic[task, "stable"].message(rollouts.stable.infos[task], share))
        if canary:
            traffic = self._traffic[task, "canary"]
            message.canary.CopyFrom(traffic.message(canary.variant.infos[task], canary.share))
        if shadow:
            traffic = self._traffic[task, "shadow"]
            message.shadow.CopyFrom(traffic.message(shadow.variant.infos[task], shadow.share))
            message.comparison.CopyFrom(self._compared[task].message())
        return message
