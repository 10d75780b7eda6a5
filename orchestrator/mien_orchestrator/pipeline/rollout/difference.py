"""Compare the answers of two models for the same faces."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.v1.face_pb2 import ModelInfo
from mien_models.spec import Task

Answers: TypeAlias = Mapping[str, NDArray[np.float32]]
"""Arrays by name, first axis N; see `mien_models.registry.ANSWERS`."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How much two models differ, for each face."""

    labels: NDArray[np.bool_] | None = None
    """(N,) Whether the labels differ; None for a task without labels."""
    years: NDArray[np.float32] | None = None
    """(N,) Absolute difference in years; None for a task other than the age."""


def _emotion(first: Answers, second: Answers, models: tuple[ModelInfo, ModelInfo]) -> Difference:
    labels = [
        np.array(model.labels)[answers["probabilities"].argmax(axis=1)]
        for answers, model in zip((first, second), models, strict=True)
    ]
    return Difference(labels=labels[0] != labels[1])


def _gender(first: Answers, second: Answers, models: tuple[ModelInfo, ModelInfo]) -> Difference:
    return Difference(labels=(first["p_male"] >= 0.5) != (second["p_male"] >= 0.5))


def _age(first: Answers, second: Answers, models: tuple[ModelInfo, ModelInfo]) -> Difference:
    return Difference(years=np.abs(first["years"] - second["years"]))


_COMPARE: dict[Task, Callable[[Answers, Answers, tuple[ModelInfo, ModelInfo]], Difference]] = {
    "age": _age,
    "gender": _gender,
    "emotion": _emotion,
}


def compare(task: Task, first: Answers, second: Answers, models: tuple[ModelInfo, ModelInfo]) -> Difference:
    """Compare the answers of two models: the most probable emotion, the more probable gender, the age.

    Args:
        task: The task.
        first: Answers of the first model.
        second: Answers of the second model for the same faces.
        models: Both models.

    """
    return _COMPARE[task](first, second, models)
