"""Add an ONNX file of any origin to a model store: inspect it, wrap it, write its specification, check it on a face.

Needs onnx and torch, unless the file already takes crops and returns answers.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mien_models.crops import cut
from mien_models.detectors.mien import MienDetector
from mien_models.errors import ModelError
from mien_models.faces import Faces
from mien_models.registry import ANSWERS, Registry, read_entry
from mien_models.runtimes import load
from mien_models.spec import (
    EMOTIONS,
    OLDEST,
    AgeDistributionHead,
    AgeValueHead,
    CropSpec,
    EmotionHead,
    GenderHead,
    Head,
    InputSpec,
    ModelSpec,
    Task,
    Weights,
)
from mien_models.store.model_store import ModelStore

if TYPE_CHECKING:
    from mien_models.export.wrapping import OnnxNetwork, Output  # imports torch

Colour = Literal["grey", "rgb", "bgr"]
Answers = dict[str, NDArray[np.float32]]

FACE = Path(__file__).with_name("face.jpg")
"""The face that models are checked on: a detail of NASA's portrait of Eileen Collins, in the public domain."""

_COLUMNS: Mapping[Task, tuple[int, ...]] = {"age": (1, OLDEST + 1), "gender": (1, 2), "emotion": (len(EMOTIONS),)}
"""Columns of an output that can answer each task."""

_NOISE = 15
"""Further crops, of noise, with which outputs are inspected."""

_OLDEST_PERSON = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnModel:
    """What a file does not contain: its tasks, and how it was trained to see faces."""

    tasks: tuple[Task, ...]
    name: str | None = None
    """Name in the registry; None for that of the file."""
    outputs: Mapping[Task, str] = field(default_factory=dict)
    """The output of each task, if there are several that could be."""
    colour: Colour | None = None
    """Order of the input's channels; None for RGB, or grey if there is one channel."""
    shift: float | tuple[float, float, float] = 0
    """Subtracted from pixel values of 0 to 255."""
    scale: float | tuple[float, float, float] = 255
    """The difference is divided by it."""
    size: int | None = None
    """Side of the input in pixels, if the file leaves it open."""
    crop_scale: float = CropSpec.model_fields["scale"].default
    """Side of the crop as a multiple of the height of the face's box."""
    crop_center_y: float = CropSpec.model_fields["center_y"].default
    """Height of the box's centre in the crop, as a fraction from its top."""
    labels: tuple[str, ...] = EMOTIONS
    """The emotions, in the order of the columns."""
    high: Literal["male", "female"] = "male"
    """Gender that a high value, or the second of two columns, stands for."""
    years: float = 1
    """Years that an age output of 1 stands for, such as 100."""
    summary: str | None = None
    """One sentence about the model."""


@dataclass(frozen=True, slots=True)
class Added:
    """A model that was added."""

    spec: ModelSpec
    path: Path
    notes: tuple[str, ...]
    """What was found out about the file."""
    answers: Answers
    """Its answers for `FACE`."""


def add(store: ModelStore, path: Path, own: OwnModel, *, replace: bool = False) -> Added:
    """Add an ONNX file to a model store.

    Args:
        store: The store.
        path: The ONNX file, with one input of square images.
        own: Its tasks and preprocessing.
        replace: Whether a model of that name in the store may be replaced.

    Returns:
        The model, with its answers for a face, to be looked at: wrong colours or scales give wrong answers, not errors.

    Raises:
        ModelError: The file is no model of faces, does not fit the tasks, or its answers are impossible.
        ImportError: onnx or torch is missing.

    """
    name = own.name or re.sub(r"[^\w.+-]", "-", path.stem)
    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise ModelError(f"{name!r} is not a name for a model: use letters, digits and any of _.+-")
    if name in {entry.spec.name for entry in Registry().entries()}:
        raise ModelError(f"{name} is a model of Mien; choose another name")
    if (store.folder / f"{name}.json").exists() and not replace:
        raise ModelError(f"{store.folder} has a model {name} already; choose another name, or replace it")
    _check_labels(own)
    added: list[Added] = []

    def write(folder: Path) -> None:
        content, spec, notes = _served_as_is(path, name, own) or _wrapped(path, name, own)
        digest = hashlib.sha256(content).hexdigest()
        weights = Weights(file=f"{name}.onnx", sha256=digest, bytes=len(content))
        spec = spec.model_copy(update={"weights": weights, "version": f"0+{digest[:12]}"})
        (folder / weights.file).write_bytes(content)
        spec.write(folder / f"{name}.json")
        added.append(Added(spec, store.folder / weights.file, notes, _checked(folder / f"{name}.json")))

    store.add(write)
    return added[0]


def _check_labels(own: OwnModel) -> None:
    if "emotion" in own.tasks and sorted(own.labels) != sorted(EMOTIONS):
        raise ModelError(f"the labels must be {', '.join(EMOTIONS)}, in the order of the output's columns")


def _spec(name: str, path: Path, own: OwnModel, crop: CropSpec, heads: Mapping[Task, Head]) -> ModelSpec:
    return ModelSpec(
        name=name,
        version="0",
        summary=own.summary or f"{' and '.join(own.tasks).capitalize()} by a model of this installation, {path.name}.",
        crop=crop,
        heads=dict(heads),
    )


def _crop(own: OwnModel, size: int) -> CropSpec:
    lowest, highest = (CropSpec.model_json_schema()["properties"]["size"][key] for key in ("minimum", "maximum"))
    if not lowest <= size <= highest:
        raise ModelError(f"the input is {size} pixels wide; models take crops of {lowest} to {highest} pixels")
    return CropSpec(size=size, scale=own.crop_scale, center_y=own.crop_center_y)


def _served_as_is(path: Path, name: str, own: OwnModel) -> tuple[bytes, ModelSpec, tuple[str, ...]] | None:
    """Return a file that already takes crops and has the answers of its tasks; None for another file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    try:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common class of their own
        if own.tasks and path.with_name(f"{path.name}.data").exists():
            return None  # its weights are in a second file, which onnx reads
        reason = str(error).partition("\n")[0]
        raise ModelError(f"{path} is not an ONNX file that ONNX Runtime can load: {reason}") from error
    answers = {answer for task in own.tasks for answer in ANSWERS[task]}
    (first, *others) = session.get_inputs()
    if others or first.type != "tensor(uint8)" or first.name != "crops":
        return None
    if not answers <= {output.name for output in session.get_outputs()}:
        return None
    size = own.size or (first.shape[1] if isinstance(first.shape[1], int) else None)
    if size is None:
        raise ModelError(f"{path} leaves the size of the crops open; give it in pixels")
    heads: dict[Task, Head] = {
        "age": AgeValueHead(),
        "gender": GenderHead(count=1, source="value"),
        "emotion": EmotionHead(labels=own.labels),
    }
    spec = _spec(name, path, own, _crop(own, size), {task: heads[task] for task in own.tasks})
    return content, spec, ("it takes crops and returns answers; it is used as it is",)


def _wrapped(path: Path, name: str, own: OwnModel) -> tuple[bytes, ModelSpec, tuple[str, ...]]:
    from mien_models.export.wrapping import OnnxNetwork

    network = OnnxNetwork(path)
    size = network.input.size or own.size
    if size is None:
        raise ModelError(f"{path} leaves the size of its input open; give it in pixels")
    if own.size not in (None, size):
        raise ModelError(f"{path} takes images of {size} pixels, not {own.size}")
    colour = own.colour or ("grey" if network.input.channels == 1 else "rgb")
    seen = InputSpec(colour=colour, shift=own.shift, scale=own.scale)
    if seen.channels != network.input.channels:
        raise ModelError(f"{path} has {network.input.channels} input channels, which is not {colour}")
    crop = _crop(own, size)
    spec = _spec(name, path, own, crop, {}).model_copy(update={"input": seen, "parameters": network.parameters})
    outputs, heads, notes = _outputs(network, own, spec)
    spec = spec.model_copy(update={"heads": heads})
    layout = "(N, C, S, S)" if network.input.channels_first else "(N, S, S, C)"
    first = f"input {network.input.name!r}: {layout}, {size} x {size} pixels, {colour}, (x - {own.shift}) / {own.scale}"
    return network.wrapped(seen, size, outputs, spec), spec, (first, *notes)


def _outputs(
    network: "OnnxNetwork", own: OwnModel, spec: ModelSpec
) -> tuple[list["Output"], dict[Task, Head], tuple[str, ...]]:
    """Return the outputs used, the head of each task, and what was found out about them."""
    from mien_models.export.wrapping import Output

    chosen = _chosen(network, own)
    crops = _sample_crops(spec.crop)
    outputs, heads, notes, first = [], dict[Task, Head](), [], 0
    for task, (output, columns) in chosen.items():
        plain = network.wrapped(spec.input, spec.crop.size, [Output(output, columns)], None)
        session = onnxruntime.InferenceSession(plain, providers=["CPUExecutionProvider"])
        scores = np.asarray(_run(session, crops, network.path)["scores"], np.float32)
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
    """Whether an output (N, columns) is after a softmax or sigmoid: by the graph, else by its values for the sample."""
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


def _face_crop(crop: CropSpec) -> NDArray[np.uint8]:
    """Return the crop of `FACE`, (1, S, S, 3) uint8 RGB."""
    encoded = np.frombuffer(FACE.read_bytes(), np.uint8)
    picture = cv2.cvtColor(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8), cv2.COLOR_BGR2RGB)
    faces: Faces = MienDetector(long_side=320).detect(np.asarray(picture, np.uint8)).largest_first(1)
    return cut(np.asarray(picture, np.uint8), faces, crop)


def _sample_crops(crop: CropSpec) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 256, (_NOISE, crop.size, crop.size, 3), np.uint8)
    return np.concatenate([_face_crop(crop), noise])


def _run(session: onnxruntime.InferenceSession, crops: NDArray[np.uint8], path: Path) -> Answers:
    try:
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, {"crops": crops}), strict=True))
    except Exception as error:  # ONNX Runtime's errors have no common class of their own
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"{path} fails for a batch of {len(crops)} crops; export it with an open batch dimension: {reason}"
        ) from error


def _checked(specification: Path) -> Answers:
    """Return the answers for `FACE`; raises `ModelError` if they are impossible, or differ alone and in a batch."""
    entry = read_entry(specification)
    spec = entry.spec
    crops = _sample_crops(spec.crop)
    results: Answers = {}
    for task in spec.heads:
        model = load(entry, task)
        try:
            alone, together = model.predict(crops[:1]), model.predict(crops)
        except Exception as error:  # ONNX Runtime's errors have no common class of their own
            reason = str(error).partition("\n")[0]
            raise ModelError(f"{spec.name} fails for {len(crops)} faces at once: {reason}") from error
        for name, values in together.items():
            if not np.isfinite(values).all():
                raise ModelError(f"{spec.name}: {name} is not a number for some faces; check shift and scale")
            if not np.allclose(values[:1], alone[name], atol=1e-3, rtol=1e-3):
                raise ModelError(
                    f"{spec.name}: a face has another {name} in a batch than alone; export it in evaluation mode and "
                    "with an open batch dimension"
                )
        _check_range(spec, task, together)
        results |= alone
    return results


def _check_range(spec: ModelSpec, task: Task, answers: Answers) -> None:
    if task == "age" and not 1 < float(answers["years"][0]) < _OLDEST_PERSON:
        raise ModelError(
            f"{spec.name}: the age of an adult is {answers['years'][0]:.3g} years; set the years that an output of 1 "
            "stands for, and check shift and scale"
        )
    if task == "gender" and not ((answers["p_male"] >= 0) & (answers["p_male"] <= 1)).all():
        raise ModelError(f"{spec.name}: p_male is not between 0 and 1")
    if task == "emotion":
        probabilities = answers["probabilities"]
        if probabilities.shape[1:] != (len(EMOTIONS),) or not np.allclose(probabilities.sum(1), 1, atol=1e-3):
            raise ModelError(f"{spec.name}: the probabilities are not {len(EMOTIONS)} per face with the sum 1")


def describe(answers: Mapping[str, NDArray[np.float32]], labels: Sequence[str]) -> str:
    """Return the answers for one face in words."""
    words = []
    if "years" in answers:
        words.append(f"age {answers['years'][0]:.0f} ({answers['low'][0]:.0f} to {answers['high'][0]:.0f})")
    if "p_male" in answers:
        p_male = float(answers["p_male"][0])
        words.append(f"{'male' if p_male > 0.5 else 'female'} ({max(p_male, 1 - p_male):.0%})")
    if "probabilities" in answers:
        best = int(answers["probabilities"][0].argmax())
        words.append(f"{labels[best]} ({answers['probabilities'][0, best]:.0%})")
    return ", ".join(words)
