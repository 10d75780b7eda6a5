"""Add an ONNX file to a model store: inspect it, wrap it, write its specification, check it on a face.

Needs onnx and torch, unless the file already takes crops and returns answers.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

from mien_models.errors import ModelError
from mien_models.registry import ANSWERS, Registry
from mien_models.spec import InputSpec, ModelSpec, Weights
from mien_models.store.model_store import ModelStore
from mien_models.store.own_model.face_check import Answers, check_on_face
from mien_models.store.own_model.options import OwnModel, crop_of, specification
from mien_models.store.own_model.outputs import answering_heads, inspect_outputs


@dataclass(frozen=True, slots=True)
class Added:
    """A model that was added."""

    spec: ModelSpec
    path: Path
    notes: tuple[str, ...]
    """One sentence about the input and about each output."""
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
        The model, with its answers for a face. Compare them with the face: wrong colours or scales are no errors.

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
    own.check_labels()
    added: list[Added] = []

    def write(folder: Path) -> None:
        content, spec, notes = _served_as_is(path, name, own) or _wrapped(path, name, own)
        digest = hashlib.sha256(content).hexdigest()
        weights = Weights(file=f"{name}.onnx", sha256=digest, bytes=len(content))
        spec = spec.model_copy(update={"weights": weights, "version": f"0+{digest[:12]}"})
        (folder / weights.file).write_bytes(content)
        spec.write(folder / f"{name}.json")
        added.append(Added(spec, store.folder / weights.file, notes, check_on_face(folder / f"{name}.json")))

    store.add(write)
    return added[0]


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
    spec = specification(name, path, own, crop_of(own, size), answering_heads(own))
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
    crop = crop_of(own, size)
    spec = specification(name, path, own, crop, {}).model_copy(update={"input": seen, "parameters": network.parameters})
    outputs, heads, notes = inspect_outputs(network, own, spec)
    spec = spec.model_copy(update={"heads": heads})
    layout = "(N, C, S, S)" if network.input.channels_first else "(N, S, S, C)"
    first = f"input {network.input.name!r}: {layout}, {size} x {size} pixels, {colour}, (x - {own.shift}) / {own.scale}"
    return network.wrapped(seen, size, outputs, spec), spec, (first, *notes)
