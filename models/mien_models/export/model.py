"""Export a network to the files that serving reads: `NAME.onnx` and `NAME.json`."""

import hashlib
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from mien_models.networks import ServedModel
from mien_models.registry import ANSWERS
from mien_models.spec import ModelSpec, Weights

_OPSET = 17


def write(spec: ModelSpec, net: nn.Module, folder: Path) -> ModelSpec:
    """Write `NAME.onnx`, whose weights keep PyTorch's names, and `NAME.json` into an existing folder.

    Returns the specification as written: with parameter count, and the file's name, digest and size.
    """
    path = folder / f"{spec.name}.onnx"
    _export(spec, net, path)
    if spec.half:
        _halve(path)
    content = path.read_bytes()
    written = spec.model_copy(
        update={
            "parameters": sum(parameter.numel() for parameter in net.parameters()),
            "weights": Weights(file=path.name, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)),
        }
    )
    written.write(path.with_suffix(".json"))
    return written


def _export(spec: ModelSpec, net: nn.Module, path: Path) -> None:
    names = [name for task in spec.heads for name in ANSWERS[task]]
    size = spec.crop.size
    with warnings.catch_warnings():
        # Warnings about constants that are intended, and about a newer exporter, which renames the weights.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Ordered(ServedModel(spec, net).eval(), names),
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
    """Returns the answers as a tuple, since an ONNX graph's outputs are ordered."""

    def __init__(self, served: ServedModel, names: list[str]) -> None:
        super().__init__()
        self.served = served
        self._names = names

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        answers = self.served(crops)
        return tuple(answers[name] for name in self._names)
