"""Canaries and shadows of a server, converted from the protobuf response."""

from dataclasses import dataclass

from mien.types.model_info import ModelInfo, model_info
from mien.v1 import rollout_pb2


@dataclass(frozen=True, slots=True)
class ModelTraffic:
    """A model and the requests that it got, since the server process that replied loaded its settings."""

    model: ModelInfo
    share: float
    """Share of the requests that the model gets, 0 to 1."""
    requests: int
    errors: int
    """Requests that it did not answer; the stable model answered those of a canary."""
    mean_latency_ms: float | None


@dataclass(frozen=True, slots=True)
class ShadowComparison:
    """Comparison of a shadow with the stable model."""

    faces: int
    """Faces that both models answered."""
    dropped_requests: int
    """Requests that were not compared, since the shadow was busy."""
    differing_labels: float | None
    """Share of the faces for which the labels differ, 0 to 1; None without faces or labels."""
    years_apart: float | None
    """Mean absolute difference of the ages, in years; None without faces or ages."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """The models of a task that has a canary or a shadow."""

    stable: ModelTraffic
    canary: ModelTraffic | None
    shadow: ModelTraffic | None
    comparison: ShadowComparison | None
    """The comparison with the shadow; None without a shadow."""


def rollout(message: rollout_pb2.Rollout) -> Rollout:
    """Convert a protobuf message."""
    return Rollout(
        stable=_traffic(message.stable),
        canary=_traffic(message.canary) if message.HasField("canary") else None,
        shadow=_traffic(message.shadow) if message.HasField("shadow") else None,
        comparison=_comparison(message.comparison) if message.HasField("comparison") else None,
    )


def _traffic(message: rollout_pb2.ModelTraffic) -> ModelTraffic:
    latency = message.mean_latency_ms if message.HasField("mean_latency_ms") else None
    return ModelTraffic(model_info(message.model), message.share, message.requests, message.errors, latency)


def _comparison(message: rollout_pb2.ShadowComparison) -> ShadowComparison:
    return ShadowComparison(
        faces=message.faces,
        dropped_requests=message.dropped_requests,
        differing_labels=message.differing_labels if message.HasField("differing_labels") else None,
        years_apart=message.years_apart if message.HasField("years_apart") else None,
    )
