"""What a model would have answered without its temperatures, to show what calibration changed."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mien_models.registry import Entry
from mien_models.spec import AgeDistributionHead, EmotionHead, GenderHead, Task
from mien_training.faces import metrics

Answers = Mapping[str, NDArray[np.float32]]

FIGURES = ("ece", "nll", "coverage", "mean_width")
"""The figures that calibration is there to change."""


def compared(
    figures: Mapping[str, metrics.Figures], before: Mapping[str, metrics.Figures]
) -> dict[str, metrics.Figures]:
    """Return figures with what calibration changed of them, as `uncalibrated`, beside each that it changed."""
    return {task: _beside(told, before[task]) if task in before else dict(told) for task, told in figures.items()}


def _beside(told: metrics.Figures, before: metrics.Figures) -> metrics.Figures:
    changed = {name: before[name] for name in FIGURES if name in told}
    parts = {name: _beside(part, before[name]) for name, part in told.items() if name in ("fer", "exact")}  # type: ignore[arg-type]
    return told | parts | ({"uncalibrated": changed} if changed else {})


def answers(entry: Entry, tasks: Sequence[Task], told: Answers, crops: NDArray[np.uint8]) -> dict[Task, Answers]:
    """Return each calibrated task's answers at temperature 1; a task without a temperature is left out.

    Probabilities are untempered, which is exact: softmax(s / T) ** T, made to sum to 1, is softmax(s); the mix of label
    styles stays. The ranges of ages are computed anew, by PyTorch, from the same weights.
    """
    plain: dict[Task, Answers] = {}
    for task in tasks:
        head = entry.spec.heads[task]
        if getattr(head, "temperature", 1.0) == 1.0:
            continue
        match head:
            case EmotionHead():
                powers = told["probabilities"].astype(np.float64) ** head.temperature
                plain[task] = {"probabilities": (powers / powers.sum(1, keepdims=True)).astype(np.float32)}
            case GenderHead():
                male = told["p_male"].astype(np.float64)
                powers, others = male**head.temperature, (1 - male) ** head.temperature
                plain[task] = {"p_male": (powers / (powers + others)).astype(np.float32)}
            case AgeDistributionHead():
                plain[task] = _age(entry, head, crops)
    return plain


def _age(entry: Entry, head: AgeDistributionHead, crops: NDArray[np.uint8]) -> Answers:
    from mien_models.runtimes.torch import TorchModel  # brings torch, which the other tasks do without

    heads = entry.spec.heads | {"age": head.model_copy(update={"temperature": 1.0})}
    model = TorchModel(dataclasses.replace(entry, spec=entry.spec.model_copy(update={"heads": heads})), "age")
    parts = [model.predict(batch) for batch in np.array_split(crops, 1 + (len(crops) - 1) // 64)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
