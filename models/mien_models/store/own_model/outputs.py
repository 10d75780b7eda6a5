"""The outputs of an ONNX file: which answers each task, and the head that converts it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mien_models.errors import ModelError
from mien_models.spec import (
    EMOTIONS,
    OLDEST,
    AgeDistributionHead,
    AgeValueHead,
    EmotionHead,
    GenderHead,
    Head,
    ModelSpec,
    Task,
)
from mien_models.store.own_model.face_check import sample_crops
from mien_models.store.own_model.options import OwnModel

if TYPE_CHECKING:
    from mien_models.export.wrapping import OnnxNetwork, Output  # imports torch

_COLUMNS: Mapping[Task, tuple[int, ...]] = {"age": (1, OLDEST + 1), "gender": (1, 2), "emotion": (len(EMOTIONS),)}
"""Columns of an output that can answer each task."""


def answering_heads(own: OwnModel) -> dict[Task, Head]:
    """Return the heads of a file whose outputs are the answers already."""
    heads: dict[Task, Head] = {
        "age": AgeValueHead(),
        "gender": GenderHead(count=1, source="value"),
        "emotion": EmotionHead(labels=own.labels),
    }
    return {task: heads[task] for task in own.tasks}


def inspect_outputs(
    network: "OnnxNetwork", own: OwnModel, spec: ModelSpec
) -> tuple[list["Output"], dict[Task, Head], tuple[str, ...]]:
    """Return the outputs used, the head of each task, and one sentence about each output."""
    from mien_models.export.wrapping import Output

    chosen = _chosen(network, own)
    crops = sample_crops(spec.crop)
    outputs, heads, notes, first = [], dict[Task, Head](), [], 0
    for task, (output, columns) in chosen.items():
        plain = network.wrapped(spec.input, spec.crop.size, [Output(output, columns)], None)
        session = onnxruntime.InferenceSession(plain, providers=["CPUExecutionProvider"])
        scores = _scores(session, crops, network.path)
        probable = _is_probability(network.last_operator(output), scores)
        head = _head(task, columns, first, own, probable)
        softmax = probable and columns > 1
        outputs.append(Output(output, columns, own.years if task == "age" and columns == 1 else 1.0, softmax))
        heads[task] = head
        kind = "probabilities" if probable else "scores" if columns > 1 or task == "gender" else "years"
        notes.append(f"output {output!r} answers {task}: {columns} column{'s' * (columns > 1)} of {kind}")
        first += columns
    return outputs, heads, tuple(notes)


def _chosen(network: "OnnxNetwork", own: OwnModel) -> dict[Task, tuple[str, int]]:
    """Return the output of each task and its columns."""
    found = network.outputs
    listed = ", ".join(f"{name} ({columns or '?'} columns)" for name, columns in found.items())
    chosen: dict[Task, tuple[str, int]] = {}
    for task in own.tasks:
        fitting = [name for name, columns in found.items() if columns in _COLUMNS[task]]
        name = own.outputs.get(task) or (fitting[0] if len(fitting) == 1 else None)
        if name not in found:
            problem = f"has no output {name!r}" if name else f"has {len(fitting) or 'no'} outputs that could be {task}"
            raise ModelError(
                f"{network.path} {problem}: it has {listed}; name the output of {task}, with "
                f"{' or '.join(map(str, _COLUMNS[task]))} columns"
            )
        columns = found[name]
        if columns not in _COLUMNS[task]:
            raise ModelError(
                f"{network.path}: the output {name!r} has {columns or 'an open number of'} columns; {task} has "
                f"{' or '.join(map(str, _COLUMNS[task]))}"
            )
        chosen[task] = (name, columns)
    if len({name for name, _ in chosen.values()}) < len(chosen):
        raise ModelError(f"{network.path}: each task needs an output of its own; it has {listed}")
    return chosen


def _is_probability(operator: str, scores: NDArray[np.float32]) -> bool:
    """Return whether an output (N, columns) holds probabilities: by its last operator, else by its values."""
    if operator in {"Softmax", "Sigmoid"}:
        return True
    bounded = bool((scores >= 0).all() and (scores <= 1).all())
    return bounded and scores.shape[1] > 1 and bool(np.allclose(scores.sum(1), 1, atol=1e-3))


def _head(task: Task, columns: int, first: int, own: OwnModel, probable: bool) -> Head:
    match task:
        case "emotion":
            return EmotionHead(first=first, labels=own.labels)
        case "gender":
            source: Literal["classes", "value", "logit"] = (
                "classes" if columns == 2 else "value" if probable else "logit"
            )
            return GenderHead(first=first, count=columns, source=source, high=own.high)
        case "age":
            return AgeValueHead(first=first) if columns == 1 else AgeDistributionHead(first=first)


def _scores(session: onnxruntime.InferenceSession, crops: NDArray[np.uint8], path: Path) -> NDArray[np.float32]:
    """Return the output of a file for some crops, (N, columns)."""
    try:
        (scores,) = session.run(["scores"], {"crops": crops})
    except Exception as error:  # ONNX Runtime's errors have no common class of their own
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"{path} fails for a batch of {len(crops)} crops; export it with an open batch dimension: {reason}"
        ) from error
    return np.asarray(scores, np.float32)
