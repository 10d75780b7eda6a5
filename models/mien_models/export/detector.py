"""Export a detector to the files that serving reads: `NAME.onnx` and `NAME.json`."""

import copy
import hashlib
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from mien_models.detectors.spec import DetectorSpec
from mien_models.networks.face_detector import SCALE, FaceDetectorNet
from mien_models.spec import Weights

_OPSET = 17


def write_detector(spec: DetectorSpec, net: FaceDetectorNet, folder: Path) -> DetectorSpec:
    """Write both files into an existing folder; return the specification as written."""
    path = folder / f"{spec.name}.onnx"
    with warnings.catch_warnings():
        # Warnings about constants that are intended, and about a newer exporter.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Served(net).eval(),
            (torch.zeros(1, 64, 64, 3, dtype=torch.uint8),),
            path,
            input_names=["image"],
            output_names=["scores", "shapes"],
            dynamic_axes={"image": {1: "height", 2: "width"}, "scores": {0: "cells"}, "shapes": {1: "cells"}},
            opset_version=_OPSET,
            dynamo=False,
        )
    content = path.read_bytes()
    written = spec.model_copy(
        update={
            "parameters": sum(parameter.numel() for parameter in net.parameters()),
            "weights": Weights(file=path.name, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)),
        }
    )
    written.write(path.with_suffix(".json"))
    return written


class _Served(nn.Module):
    """Maps one image's bytes to its cells' scores and shapes; columns are cells, so that nothing is transposed."""

    def __init__(self, net: FaceDetectorNet) -> None:
        super().__init__()
        self.net = copy.deepcopy(net)
        # Fold the division by `SCALE` into the first kernels.
        first = self.net.stem[0]
        assert isinstance(first, nn.Conv2d)
        with torch.no_grad():
            first.weight /= SCALE

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        levels = self.net.levels(image.permute(0, 3, 1, 2).float())
        columns = torch.cat([level.flatten(2) for level in levels], 2)[0]
        return columns[0].sigmoid(), columns[1:]
