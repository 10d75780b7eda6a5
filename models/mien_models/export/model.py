"""Export a network to the files that serving reads: `NAME.onnx`, and `NAME.json` for each of its models."""

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from mien_models.networks import ServedModel
from mien_models.networks.served import answers_of
from mien_models.registry import ANSWERS
from mien_models.spec import ModelSpec, Weights

_OPSET = 17


def write(spec: ModelSpec, net: nn.Module, folder: Path, others: Sequence[ModelSpec] = ()) -> ModelSpec:
    """Write `NAME.onnx`, whose weights keep PyTorch's names, and `NAME.json` into an existing folder.

    `others` are models of the same network with other heads; they share the file, and each gets its own `NAME.json`.
    Returns the first specification as written: with parameter count, and the file's name, digest and size.
    """
    path = folder / f"{spec.name}.onnx"
    others = [other.model_copy(update={"outputs": _outputs(other)}) for other in others]
    _export([spec, *others], net, path)
    if spec.half:
        _halve(path)
    content = path.read_bytes()
    facts = {
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "weights": Weights(file=path.name, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)),
    }
    written = [each.model_copy(update=facts) for each in (spec, *others)]
    for each in written:
        each.write(folder / f"{each.name}.json")
    return written[0]


def _outputs(spec: ModelSpec) -> dict[str, str]:
    """Return names for a model's answers in a file that answers other models too."""
    return {name: f"{spec.name}.{name}" for task in spec.heads for name in ANSWERS[task]}


def _export(specs: Sequence[ModelSpec], net: nn.Module, path: Path) -> None:
    answers = [[name for task in spec.heads for name in ANSWERS[task]] for spec in specs]
    names = [spec.outputs.get(name, name) for spec, results in zip(specs, answers, strict=True) for name in results]
    size = specs[0].crop.size
    with warnings.catch_warnings():
        # Warnings about constants that are intended, and about a newer exporter, which renames the weights.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Ordered(net, specs, answers),
            (torch.zeros(2, size, size, 3, dtype=torch.uint8),),
            path,
            input_names=["crops"],
            output_names=names,
            dynamic_axes={name: {0: "faces"} for name in ("crops", *names)},
            opset_version=_OPSET,
            dynamo=False,
            # otherwise batch normalisation is folded and the weights lose their names
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
        )


def _halve(path: Path) -> None:
    """Store kernels and matrices as 16-bit floats under their names; the graph casts them once, when loaded."""
    model = onnx.load(path)
    graph = model.graph
    kernels = [item for item in graph.initializer if item.data_type == onnx.TensorProto.FLOAT and len(item.dims) > 1]
    wide = {item.name: f"{item.name}.wide" for item in kernels}
    for item in kernels:
        item.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(item).astype(np.float16), item.name))
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = wide.get(name, name)
    widening = [helper.make_node("Cast", [name], [new], to=onnx.TensorProto.FLOAT) for name, new in wide.items()]
    nodes = [*widening, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, path)


class _Ordered(nn.Module):
    """Returns the answers of all models as a tuple, since an ONNX graph's outputs are ordered."""

    def __init__(self, net: nn.Module, specs: Sequence[ModelSpec], names: Sequence[Sequence[str]]) -> None:
        super().__init__()
        # In evaluation mode, but not this module: the exporter would fold the normalisations in.
        self.served = ServedModel(specs[0], net).eval()
        self._specs = specs
        self._names = names

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        scores = self.served.scores(crops)
        results = [answers_of(spec, scores) for spec in self._specs]
        return tuple(results[place][name] for place, names in enumerate(self._names) for name in names)
