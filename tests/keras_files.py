"""Synthetic Keras weight files: SSR-Net with random weights, in Keras' layout."""

from pathlib import Path

import h5py
import numpy as np

_STAGES = ((1, 160), (2, 90), (3, 90))


def write_ssrnet(path: Path, *, seed: int = 0, first: int = 1, without: str = "") -> Path:
    """Write the weights of an SSR-Net; `first` is the first number in the names of the layers."""
    shapes: dict[str, dict[str, tuple[int, ...]]] = {}
    for offset, width in ((0, 32), (4, 16)):
        for i in range(4):
            shapes[f"conv2d_{first + offset + i}"] = _affine(3, 3, 3 if i == 0 else width, width)
            names = ("gamma", "beta", "moving_mean", "moving_variance")
            shapes[f"batch_normalization_{first + offset + i}"] = dict.fromkeys(names, (width,))
    for stage, flat in _STAGES:
        shapes[f"conv2d_{first + 6 + 2 * stage}"] = _affine(1, 1, 16, 10)
        shapes[f"conv2d_{first + 7 + 2 * stage}"] = _affine(1, 1, 32, 10)
        for i, (inputs, outputs) in enumerate(((flat, 3), (flat, 3), (3, 6))):
            shapes[f"dense_{first + 3 * stage - 3 + i}"] = _affine(inputs, outputs)
        shapes[f"delta_s{stage}"] = _affine(flat, 1)
        shapes[f"pred_age_stage{stage}"] = _affine(6, 3)
        shapes[f"local_delta_stage{stage}"] = _affine(6, 3)
    shapes.pop(without, None)
    random = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in ("input_1", *shapes)]
        file.create_group("input_1").attrs["weight_names"] = np.zeros(0, "S1")
        for name, arrays in shapes.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{array}:0".encode() for array in arrays]
            for array, shape in arrays.items():
                # positive variances; a mean above zero keeps the ReLUs active
                group[f"{name}/{array}:0"] = np.abs(random.normal(0.1, 0.2, shape)).astype(np.float32)
    return path


def _affine(*shape: int) -> dict[str, tuple[int, ...]]:
    return {"kernel": shape, "bias": shape[-1:]}
