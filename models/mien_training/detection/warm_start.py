"""Initialise a network from a detector's ONNX file, for further training.

The file contains convolutions with folded normalisations. Each normalisation is restored from the statistics of its
convolution's output on some photographs: the outputs do not change, and the network can be trained.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from mien_models.detectors import dense
from mien_models.detectors.spec import read
from mien_models.errors import ModelError
from mien_models.networks.face_detector import SCALE, FaceDetectorNet


def warm_start(net: FaceDetectorNet, path: Path, images: Sequence[NDArray[np.uint8]]) -> None:
    """Load the weights of the detector specified in `path` into `net`.

    `images`, (H, W, 3) uint8 RGB, provide the statistics; some fifty photographs suffice. Raises `DetectorError` if the
    file cannot be read, `ModelError` if it contains another network.
    """
    kernels = _kernels(read(path)[1])
    layers = _layers(net)
    if [kernel.shape for kernel, _ in kernels] != [layer.weight.shape for layer, _ in layers]:
        raise ModelError(f"{path}: the weights are of another network than the recipe's")
    for (layer, norm), (kernel, bias) in zip(layers, kernels, strict=True):
        with torch.no_grad():
            layer.weight.copy_(kernel)
            if norm is None:
                assert layer.bias is not None
                layer.bias.copy_(bias)
            else:
                _open(norm, bias)
    with torch.no_grad():
        layers[0][0].weight *= SCALE  # the export folded the division of the bytes into the first kernels
    _measure(net, [norm for _, norm in layers if norm is not None], images)


def _kernels(data: bytes) -> list[tuple[Tensor, Tensor]]:
    """Return weight and bias of each convolution in execution order."""
    graph = onnx.load_from_string(data).graph
    held = {item.name: torch.from_numpy(numpy_helper.to_array(item).copy()) for item in graph.initializer}
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in held:  # equal tensors are stored once
            held[node.output[0]] = held[node.input[0]]
    return [(held[node.input[1]], held[node.input[2]]) for node in graph.node if node.op_type == "Conv"]


def _layers(net: FaceDetectorNet) -> list[tuple[nn.Conv2d, nn.BatchNorm2d | None]]:
    """Return each convolution in execution order, with the normalisation after it."""
    order: list[nn.Module] = []
    hooks = [
        module.register_forward_hook(lambda module, *_: order.append(module))
        for module in net.modules()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d)
    ]
    with torch.inference_mode():
        net.eval()(torch.zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    follows = [*order[1:], None]
    return [
        (module, after if isinstance(after, nn.BatchNorm2d) else None)
        for module, after in zip(order, follows, strict=True)
        if isinstance(module, nn.Conv2d)
    ]


@torch.no_grad()
def _open(norm: nn.BatchNorm2d, bias: Tensor) -> None:
    """Initialise a normalisation that only adds the bias."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)
    norm.weight.fill_(1)
    norm.bias.copy_(bias)


@torch.inference_mode()
def _measure(net: FaceDetectorNet, norms: Sequence[nn.BatchNorm2d], images: Sequence[NDArray[np.uint8]]) -> None:
    """Set each normalisation's mean and variance to its input's, and its weights so that both cancel."""
    seen: dict[nn.BatchNorm2d, tuple[int, Tensor, Tensor]] = {}

    def add(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        values = inputs[0].double()
        count, total, square = seen.get(norm, (0, torch.zeros(()), torch.zeros(())))
        seen[norm] = (
            count + values.numel() // values.shape[1],
            total + values.sum((0, 2, 3)),
            square + values.square().sum((0, 2, 3)),
        )

    hooks = [norm.register_forward_pre_hook(add) for norm in norms]
    for image in images:
        net.eval()(torch.from_numpy(dense.pad(image).copy()).permute(2, 0, 1)[None].float().div_(SCALE))
    for hook in hooks:
        hook.remove()
    for norm, (count, total, square) in seen.items():
        mean = total / count
        variance = square / count - mean.square()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean.to(norm.bias.dtype))
