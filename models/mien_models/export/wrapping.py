"""Wrap an ONNX file of any origin into the form that serving loads: uint8 crops in, answers out.

Preprocessing and heads are those of `mien_models.networks.served`, exported and joined with the file's own graph.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch
from onnx import TensorProto, compose, helper, numpy_helper, version_converter
from torch import Tensor, nn

from mien_models.errors import ModelError
from mien_models.networks.served import answers_of, prepare
from mien_models.registry import ANSWERS
from mien_models.spec import InputSpec, ModelSpec

_OPSETS = range(13, 21)
"""Operator sets of ONNX that PyTorch's exporter writes, and that are joined without conversion."""

_TYPES: dict[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.UINT8: torch.uint8,
}

_SMALLEST = 1e-7
"""Probabilities are at least this before their logarithm is taken."""


@dataclass(frozen=True, slots=True)
class Output:
    """One output of a network, (N, columns)."""

    name: str
    columns: int
    factor: float = 1.0
    """The output is multiplied by it."""
    is_probability: bool = False
    """Whether it is after a softmax: its logarithm is used as scores."""


@dataclass(frozen=True, slots=True)
class Input:
    """The input of a network."""

    name: str
    size: int | None
    """Side in pixels; None if it is not fixed."""
    channels: int
    channels_first: bool
    """Whether it is (N, C, S, S) rather than (N, S, S, C)."""
    type: int
    """Element type, as in `onnx.TensorProto`."""


class OnnxNetwork:
    """An ONNX file of one image input and one or more outputs."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Args:
            path: The ONNX file; its weights may be in files beside it.

        Raises:
            ModelError: It is not an ONNX file, or its input is not one batch of square images.

        """
        try:
            self._model = onnx.load(path)
            onnx.checker.check_model(self._model)
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror or error}") from error
        except Exception as error:  # protobuf's and the checker's errors have no common class
            reason = str(error).partition("\n")[0]
            raise ModelError(f"{path} is not an ONNX file: {reason}") from error
        self.path = path
        weights = {item.name for item in self._model.graph.initializer}
        inputs = [item for item in self._model.graph.input if item.name not in weights]
        if len(inputs) != 1:
            raise ModelError(f"{path} has {len(inputs)} inputs; a model of faces has one, an image")
        self.input = _image_input(inputs[0], path)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(int(np.prod(item.dims)) for item in self._model.graph.initializer)

    @property
    def outputs(self) -> dict[str, int | None]:
        """The outputs, each with its number of columns; None if it is not in the file."""
        return {item.name: _columns(item) for item in self._model.graph.output}

    def last_operator(self, output: str) -> str:
        """Return the operator that computes an output, behind reshapes, such as `Softmax`."""
        made_by = {name: node for node in self._model.graph.node for name in node.output}
        node = made_by.get(output)
        while node is not None and node.op_type in {"Identity", "Reshape", "Flatten", "Squeeze", "Cast"}:
            node = made_by.get(node.input[0])
        return node.op_type if node is not None else ""

    def wrapped(self, spec: InputSpec, size: int, outputs: Sequence[Output], heads: ModelSpec | None) -> bytes:
        """Return the ONNX file that takes crops.

        Args:
            spec: How crops become the network's input.
            size: Side of the crops, in pixels.
            outputs: Outputs that are joined, in this order, to the columns of the scores.
            heads: The specification whose heads convert the scores to answers; None to return `scores`.

        Raises:
            ModelError: The graphs cannot be joined.

        """
        opset = next(item.version for item in self._model.opset_import if item.domain in ("", "ai.onnx"))
        network = onnx.ModelProto()
        network.CopyFrom(self._model)
        try:
            if opset < _OPSETS.start:
                opset = _OPSETS.start
                network = version_converter.convert_version(network, opset)
            _free_batch(network)
            network = compose.add_prefix(network, "net.")
            parts = [
                _exported(
                    _Prepare(spec, self.input),
                    torch.zeros(2, size, size, 3, dtype=torch.uint8),
                    "crops",
                    ["images"],
                    opset,
                ),
                network,
                _joined(outputs, opset),
            ]
            links = [
                [("images", f"net.{self.input.name}")],
                [(f"net.{output.name}", f"output.{index}") for index, output in enumerate(outputs)],
            ]
            if heads:
                names = [name for task in heads.heads for name in ANSWERS[task]]
                columns = sum(output.columns for output in outputs)
                parts.append(_exported(_Heads(heads, names), torch.zeros(2, columns), "scores", names, opset))
                links.append([("scores", "scores")])
            return _chain(parts, links)
        except ModelError:
            raise
        except Exception as error:  # of the converter, the exporter and the checker
            reason = str(error).partition("\n")[0]
            raise ModelError(f"{self.path} cannot be joined with its preprocessing and answers: {reason}") from error


def _image_input(value: onnx.ValueInfoProto, path: Path) -> Input:
    tensor = value.type.tensor_type
    sides: list[int | None] = [dim.dim_value or None for dim in tensor.shape.dim]
    if len(sides) != 4 or tensor.elem_type not in _TYPES:
        raise ModelError(
            f"{path}: the input {value.name!r} has the shape {sides}; expected a batch of images, (N, C, S, S) or "
            "(N, S, S, C), of float or uint8"
        )
    first = sides[1] in (1, 3)
    channels, height, width = (sides[1], sides[2], sides[3]) if first else (sides[3], sides[1], sides[2])
    if channels not in (1, 3) or height != width:
        raise ModelError(
            f"{path}: the input {value.name!r} has the shape {sides}; expected square images with 1 or 3 channels"
        )
    return Input(value.name, height, channels, first, tensor.elem_type)


def _columns(value: onnx.ValueInfoProto) -> int | None:
    sides = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    if len(sides) == 1:
        return 1
    return int(np.prod(sides[1:])) if len(sides) > 1 and all(sides[1:]) else None


def _free_batch(model: onnx.ModelProto) -> None:
    """Let the first dimension of inputs and outputs be any number, and forget the shapes between them."""
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "faces"
    del model.graph.value_info[:]


class _Prepare(nn.Module):
    """Crops to the network's input."""

    def __init__(self, spec: InputSpec, target: Input) -> None:
        super().__init__()
        self._spec, self._target = spec, target

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        images = prepare(crops.permute(0, 3, 1, 2).float(), self._spec)
        if not self._target.channels_first:
            images = images.permute(0, 2, 3, 1)
        return (images.to(_TYPES[self._target.type]),)


class _Heads(nn.Module):
    """Scores to answers, in the order of `names`."""

    def __init__(self, spec: ModelSpec, names: Sequence[str]) -> None:
        super().__init__()
        self._spec, self._names = spec, names

    def forward(self, scores: Tensor) -> tuple[Tensor, ...]:
        answers = answers_of(self._spec, scores)
        return tuple(answers[name] for name in self._names)


def _exported(module: nn.Module, sample: Tensor, name: str, outputs: Sequence[str], opset: int) -> onnx.ModelProto:
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        file = Path(folder, "part.onnx")
        warnings.simplefilter("ignore")  # about constants, which are intended, and about a newer exporter
        torch.onnx.export(
            module.eval(),
            (sample,),
            file,
            input_names=[name],
            output_names=list(outputs),
            dynamic_axes={each: {0: "faces"} for each in (name, *outputs)},
            opset_version=min(opset, _OPSETS.stop - 1),
            dynamo=False,
        )
        model = onnx.load(file)
    return version_converter.convert_version(model, opset) if opset >= _OPSETS.stop else model


def _joined(outputs: Sequence[Output], opset: int) -> onnx.ModelProto:
    """Return the graph that joins outputs to one matrix of scores, (N, columns)."""
    nodes, parts, constants = [], [], []
    for index, output in enumerate(outputs):
        name = f"output.{index}"
        flat, wide = f"{name}.flat", f"{name}.wide"
        constants.append(numpy_helper.from_array(np.array([-1, output.columns], np.int64), f"{name}.shape"))
        nodes.append(helper.make_node("Reshape", [name, f"{name}.shape"], [flat]))
        nodes.append(helper.make_node("Cast", [flat], [wide], to=TensorProto.FLOAT))
        if output.is_probability:
            constants.append(numpy_helper.from_array(np.array(_SMALLEST, np.float32), f"{name}.least"))
            nodes.append(helper.make_node("Max", [wide, f"{name}.least"], [f"{name}.above"]))
            nodes.append(helper.make_node("Log", [f"{name}.above"], [wide := f"{name}.log"]))
        if output.factor != 1.0:
            constants.append(numpy_helper.from_array(np.array(output.factor, np.float32), f"{name}.factor"))
            nodes.append(helper.make_node("Mul", [wide, f"{name}.factor"], [wide := f"{name}.scaled"]))
        parts.append(wide)
    nodes.append(helper.make_node("Concat", parts, ["scores"], axis=1))
    graph = helper.make_graph(
        nodes,
        "scores",
        [helper.make_tensor_value_info(f"output.{i}", TensorProto.FLOAT, None) for i in range(len(outputs))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["faces", sum(o.columns for o in outputs)])],
        constants,
    )
    imported = [helper.make_opsetid("", opset)]
    # Without it, onnx writes the newest version that it knows, which ONNX Runtime may not read yet.
    return helper.make_model(graph, opset_imports=imported, ir_version=helper.find_min_ir_version_for(imported))


def _chain(parts: Sequence[onnx.ModelProto], links: Sequence[Sequence[tuple[str, str]]]) -> bytes:
    version = max(part.ir_version for part in parts)
    for part in parts:
        part.ir_version = version
    model = parts[0]
    for index, (part, link) in enumerate(zip(parts[1:], links, strict=True)):
        used = {name for name, _ in link}
        extra = [item.name for item in model.graph.output if item.name not in used]
        if extra:
            kept = [item for item in model.graph.output if item.name in used]
            del model.graph.output[:]
            model.graph.output.extend(kept)
        # Names inside the parts of PyTorch's exporter repeat; those of inputs and outputs must stay.
        model = compose.merge_models(_renamed(model, f"{index}."), _renamed(part, f"{index}+"), io_map=list(link))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _renamed(model: onnx.ModelProto, prefix: str) -> onnx.ModelProto:
    return compose.add_prefix(model, prefix, rename_inputs=False, rename_outputs=False)
