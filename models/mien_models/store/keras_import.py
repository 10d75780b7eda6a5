"""Convert published Keras HDF5 files to PyTorch networks. Needs h5py and torch, but not TensorFlow.

Keras numbers the layers of a kind in the order in which the network's source creates them (conv2d_1, conv2d_2, ...).
The tables below list the PyTorch layers in that order, as in the released sources: `mini_XCEPTION` of
github.com/oarriaga/face_classification, src/models/cnn.py, and `SSR_net` and `SSR_net_general` of
github.com/shamangary/SSR-Net, demo/SSRNET_model.py.
"""

from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mien_models.errors import ModelError
from mien_models.networks import build
from mien_models.spec import ModelSpec

Arrays = dict[str, NDArray[np.float32]]
"""The arrays of one layer by Keras' names, such as `kernel`."""


def read_net(path: Path, spec: ModelSpec) -> nn.Module:
    """Build the specification's network with a Keras file's weights, in evaluation mode.

    Raises `ModelError` if the file is not a Keras file or contains another network.
    """
    tensors = _tensors(read_layers(path), _LAYERS[spec.architecture or ""], path.name)
    net = build(spec)
    wanted = {name: value for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    for name in sorted(wanted.keys() | tensors.keys()):
        here, there = (tuple(values[name].shape) if name in values else None for values in (wanted, tensors))
        if here != there:
            raise ModelError(
                f"{path.name} is not a {spec.architecture} as {spec.name} requires: "
                f"{name} has shape {there or 'none'} in the file and {here or 'none'} in the network"
            )
    net.load_state_dict(tensors, strict=False)  # all except the batch counters, which serving does not use
    return net.eval()


def read_layers(path: Path) -> dict[str, Arrays]:
    """Read all layers with weights from a Keras file of a whole model or of weights only, by name."""
    try:
        with h5py.File(path) as file:
            group = file.get("model_weights", file)
            layers = {_text(name): group[_text(name)] for name in group.attrs["layer_names"]}
            return {name: arrays for name, layer in layers.items() if (arrays := _arrays(layer))}
    except (OSError, KeyError) as error:
        raise ModelError(f"{path.name} is not a Keras HDF5 file: {error}") from error


def _arrays(layer: h5py.Group) -> Arrays:
    names = [_text(name) for name in layer.attrs["weight_names"]]
    return {name.rpartition("/")[2].partition(":")[0]: np.asarray(layer[name], np.float32) for name in names}


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _tensors(layers: dict[str, Arrays], modules: dict[str, list[str]], file: str) -> dict[str, Tensor]:
    """Convert a file's layers to the names and layout of a network's state."""
    kinds: dict[str, dict[int, Arrays]] = {}
    for name, arrays in layers.items():
        stem = name.rstrip("0123456789")
        kind = stem.rstrip("_").replace("pred_age", "pred")  # the sources of SSR-Net for age and for gender differ
        kinds.setdefault(kind, {})[int(name[len(stem) :] or 0)] = arrays
    found, wanted = ({kind: len(items) for kind, items in sorted(part.items())} for part in (kinds, modules))
    if found != wanted:
        raise ModelError(f"{file} has other layers than the network: {found} instead of {wanted}")
    tensors: dict[str, Tensor] = {}
    for kind, targets in modules.items():
        for target, number in zip(targets, sorted(kinds[kind]), strict=True):
            for name, array in kinds[kind][number].items():
                tensors[f"{target}.{_NAMES.get(name, name)}"] = _laid_out(name, array)
    return tensors


_NAMES = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "depthwise_kernel": "0.weight",
    "pointwise_kernel": "1.weight",
}
"""PyTorch's names of Keras' arrays; `bias` is the same in both."""


def _laid_out(name: str, array: NDArray[np.float32]) -> Tensor:
    """Convert an array to PyTorch's order of axes."""
    if name == "depthwise_kernel":
        array = array.transpose(2, 3, 0, 1)  # height, width, input, 1
    elif array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)  # height, width, input, output
    elif array.ndim == 2:
        array = array.T  # input, output
    return torch.from_numpy(np.ascontiguousarray(array))


def _mini_xception() -> dict[str, list[str]]:
    stages = [f"stages.{i}" for i in range(4)]
    return {
        "conv2d": ["stem.0", "stem.3", *(f"{stage}.shortcut.0" for stage in stages), "head"],
        "separable_conv2d": [f"{stage}.main.{i}" for stage in stages for i in (0, 2)],
        "batch_normalization": [
            *("stem.1", "stem.4"),
            *(f"{stage}.{layer}" for stage in stages for layer in ("shortcut.1", "main.0.2", "main.2.2")),
        ],
    }


def _ssrnet() -> dict[str, list[str]]:
    stages = [f"stages.{i}" for i in range(3)]
    blocks = [f"stream_{stream}.{i}" for stream in "ab" for i in range(4)]
    return {
        # the released source creates the layers of stream b (max-pooled, tanh) first in every stage
        "conv2d": [*(f"{block}.0" for block in blocks), *(f"{stage}.reduce.{i}" for stage in stages for i in (1, 0))],
        "batch_normalization": [f"{block}.1" for block in blocks],
        "dense": [f"{stage}.{layer}" for stage in stages for layer in ("mix.1", "mix.0", "hidden")],
        "delta_s": [f"{stage}.delta" for stage in stages],
        "pred_stage": [f"{stage}.weights" for stage in stages],
        "local_delta_stage": [f"{stage}.offsets" for stage in stages],
    }


_LAYERS = {"mini_xception": _mini_xception(), "ssrnet": _ssrnet()}
"""For each architecture, its PyTorch layers of each Keras kind, in the order in which Keras numbers them."""
