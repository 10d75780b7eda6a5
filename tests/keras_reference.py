"""Reference outputs: the published networks in plain NumPy, channels last, in double precision.

Independent of the importer on purpose: weights are looked up by their layers' names in the file, the layers' order
comes from the file's own `model_config` or, for SSR-Net, whose files have weights alone, from its source.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[np.float64]
Weights = Mapping[str, list[Array]]

EPSILON = 1e-3


def weights(path: Path) -> Weights:
    """Return each layer's arrays in Keras' order."""
    with h5py.File(path) as file:
        group = file.get("model_weights", file)
        return {
            name: [np.asarray(group[name][array], np.float64) for array in group[name].attrs["weight_names"]]
            for name in group
        }


def run_graph(path: Path, images: Array) -> Array:
    """Run the network that a file's `model_config` describes on (N, H, W, C); returns its last layer's output."""
    with h5py.File(path) as file:
        layers = json.loads(file.attrs["model_config"])["config"]["layers"]
    arrays = weights(path)
    outputs: dict[str, Array] = {}
    for layer in layers:
        name, settings = layer["name"], layer["config"]
        inputs = [outputs[source[0]] for node in layer["inbound_nodes"] for source in node]
        outputs[name] = _run(layer["class_name"], settings, inputs or [images], arrays.get(name, []))
    return outputs[layers[-1]["name"]]


def _run(kind: str, settings: dict[str, object], inputs: list[Array], arrays: list[Array]) -> Array:
    x = inputs[0]
    same = settings.get("padding") == "same"
    match kind:
        case "InputLayer":
            return x
        case "Conv2D":
            return conv(x, *arrays, stride=settings["strides"][0], same=same)
        case "SeparableConv2D":
            return conv(depthwise(x, arrays[0]), arrays[1])
        case "BatchNormalization":
            assert settings["epsilon"] == EPSILON
            return normalise(x, *arrays)
        case "MaxPooling2D":
            return pool(x, np.max, settings["pool_size"][0], settings["strides"][0], same=same)
        case "Add":
            return inputs[0] + inputs[1]
        case "GlobalAveragePooling2D":
            return x.mean((1, 2))
        case "Activation":
            return ACTIVATIONS[settings["activation"]](x)
    raise AssertionError(f"no layer {kind}")


def run_ssrnet(path: Path, images: Array, span: float) -> Array:
    """Run SSR-Net (3, 3, 3) on (N, 64, 64, 3) BGR in [0, 255]; returns (N,)."""
    layer = weights(path)

    def stream(first: int, activation: Callable[[Array], Array], reduce: Callable[..., Array]) -> list[Array]:
        x, maps = images, []
        for number in range(first, first + 4):
            x = conv(x, *layer[f"conv2d_{number}"])
            x = activation(normalise(x, *layer[f"batch_normalization_{number}"]))
            if number < first + 3:
                x = pool(x, reduce, 2, 2)
            maps.append(x)
        return maps

    x_maps, s_maps = stream(1, relu, np.mean), stream(5, np.tanh, np.max)
    value, width = np.zeros(len(images)), np.ones(len(images))
    for stage, (depth, size) in enumerate(((3, 1), (1, 4), (0, 8)), 1):
        s = relu(conv(s_maps[depth], *layer[f"conv2d_{7 + 2 * stage}"]))
        x = relu(conv(x_maps[depth], *layer[f"conv2d_{8 + 2 * stage}"]))
        s, x = pool(s, np.max, size, size).reshape(len(s), -1), pool(x, np.mean, size, size).reshape(len(x), -1)
        s_mix = relu(dense(s, *layer[f"dense_{3 * stage - 2}"]))
        x_mix = relu(dense(x, *layer[f"dense_{3 * stage - 1}"]))
        hidden = relu(dense(s_mix * x_mix, *layer[f"dense_{3 * stage}"]))
        predictions = next(layer[name] for name in (f"pred_age_stage{stage}", f"pred_stage{stage}") if name in layer)
        p = relu(dense(hidden, *predictions))
        eta = np.tanh(dense(hidden, *layer[f"local_delta_stage{stage}"]))
        delta = np.tanh(dense(s * x, *layer[f"delta_s{stage}"]))[:, 0]
        width = width * 3 * (1 + delta)
        value = value + sum(p[:, i] * (i + eta[:, i]) for i in range(3)) / width
    return span * value


def conv(x: Array, kernel: Array, bias: Array | float = 0.0, *, stride: int = 1, same: bool = False) -> Array:
    """Convolve (N, H, W, I) with (kh, kw, I, O)."""
    return np.einsum("nhwcij,ijco->nhwo", _windows(x, len(kernel), stride, same, 0.0), kernel, optimize=True) + bias


def depthwise(x: Array, kernel: Array) -> Array:
    """Convolve each channel of (N, H, W, C) with its own (kh, kw) of (kh, kw, C, 1), padding 'same'."""
    return np.einsum("nhwcij,ijc->nhwc", _windows(x, len(kernel), 1, True, 0.0), kernel[..., 0], optimize=True)


def pool(x: Array, reduce: Callable[..., Array], size: int, stride: int, *, same: bool = False) -> Array:
    """Take the largest or the mean of each window."""
    return reduce(_windows(x, size, stride, same, -np.inf), axis=(4, 5))


def normalise(x: Array, gamma: Array, beta: Array, mean: Array, variance: Array) -> Array:
    """Normalise with the running statistics."""
    return gamma * (x - mean) / np.sqrt(variance + EPSILON) + beta


def dense(x: Array, kernel: Array, bias: Array) -> Array:
    """Multiply (N, I) with (I, O)."""
    return x @ kernel + bias


def relu(x: Array) -> Array:
    """Cut off what is negative."""
    return np.maximum(x, 0)


def softmax(x: Array) -> Array:
    """Return probabilities over the last axis."""
    raised = np.exp(x - x.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"relu": relu, "softmax": softmax}


def _windows(x: Array, size: int, stride: int, same: bool, filler: float) -> Array:
    """Return (N, H', W', C, size, size); TensorFlow's 'same' puts the odd pixel at the bottom and at the right."""
    if same:
        missing = [max((-(-side // stride) - 1) * stride + size - side, 0) for side in x.shape[1:3]]
        pads = [(0, 0), *((total // 2, total - total // 2) for total in missing), (0, 0)]
        x = np.pad(x, pads, constant_values=filler)
    return sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]
