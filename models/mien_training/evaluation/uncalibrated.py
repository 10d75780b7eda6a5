"""Compute a model's metrics without its temperatures, to show the effect of calibration."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mien_models.registry import Entry
from mien_models.spec import AgeDistributionHead, EmotionHead, GenderHead, Task
from mien_training.faces import metrics

Answers = Mapping[str, NDArray[np.float32]]

METRICS = ("ece", "nll", "coverage", "mean_width")
"""Metrics that calibration changes."""


def compared(
    figures: Mapping[str, metrics.Metrics], before: Mapping[str, metrics.Metrics]
) -> dict[str, metrics.Metrics]:
    """Return metrics with the uncalibrated value of each that calibration changed under `uncalibrated`."""
    return {task: _beside(values, before[task]) if task in before else dict(values) for task, values in figures.items()}


def _beside(values: metrics.Metrics, before: metrics.Metrics) -> metrics.Metrics:
    changed = {name: before[name] for name in METRICS if name in values}
    parts = {name: _beside(part, before[name]) for name, part in values.items() if name in ("fer", "ferplus", "exact")}  # type: ignore[arg-type]
    return values | parts | ({"uncalibrated": changed} if changed else {})


def answers(entry: Entry, tasks: Sequence[Task], values: Answers, crops: NDArray[np.uint8]) -> dict[Task, Answers]:
    """Return each calibrated task's answers at temperature 1; tasks without a temperature are omitted.

    Probabilities are rescaled exactly: softmax(s / T) ** T, normalised to sum to 1, is softmax(s). Age ranges are
    recomputed with PyTorch from the same weights.
    """
    plain: dict[Task, Answers] = {}
    for task in tasks:
        head = entry.spec.heads[task]
        if getattr(head, "temperature", 1.0) == 1.0:
            continue
        match head:
            case EmotionHead():
                powers = values["probabilities"].astype(np.float64) ** head.temperature
                plain[task] = {"probabilities": (powers / powers.sum(1, keepdims=True)).astype(np.float32)}
            case GenderHead():
                male = values["p_male"].astype(np.float64)
                powers, others = male**head.temperature, (1 - male) ** head.temperature
                plain[task] = {"p_male": (powers / (powers + others)).astype(np.float32)}
            case AgeDistributionHead():
                plain[task] = _age(entry, head, crops)
    return plain


def _age(entry: Entry, head: AgeDistributionHead, crops: NDArray[np.uint8]) -> Answers:
    from mien_models.runtimes.torch import TorchModel  # imports torch, which the other tasks do not need

    heads = entry.spec.heads | {"age": head.model_copy(update={"temperature": 1.0})}
    model = TorchModel(dataclasses.replace(entry, spec=entry.spec.model_copy(update={"heads": heads})), "age")
    parts = [model.predict(batch) for batch in np.array_split(crops, 1 + (len(crops) - 1) // 64)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
