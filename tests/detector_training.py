"""A small detector, its recipe, scenes and predictions, for tests of training."""

import numpy as np
import torch

from mien_models.detectors.dense import cells
from mien_models.detectors.spec import DetectorSpec
from mien_models.networks.face_detector import VALUES
from mien_training.detection.recipes import DetectionRecipe
from mien_training.detection.scenes import Scene

SMALL = {"widths": (16, 16, 16, 16, 16), "depths": (0, 0, 0, 0)}
SPEC = DetectorSpec(name="small", version="0", summary="A small one.", options=SMALL)
RECIPE = DetectionRecipe(SPEC, epochs=2, chips=(), steps=2, sizes=(64,), pixels=2 * 64 * 64)
NONE = np.zeros((0, 4), np.float32)
UNKNOWN = torch.full((2, 5, 2), torch.nan)


def scene(*boxes: tuple[float, float, float, float], ignored: np.ndarray = NONE, size: int = 64) -> Scene:
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    points = np.repeat(rows[:, None, :2] + rows[:, None, 2:] / 2, 5, axis=1)
    return Scene(np.zeros((size, size, 3), np.uint8), rows, points, ignored)


def reported(box: tuple[float, float, float, float], logit: float, size: int = 64) -> torch.Tensor:
    """Predictions in which every cell predicts the same box, with points in its middle."""
    places = torch.from_numpy(cells(size, size))
    stride = places[:, 2]
    x, y, width, height = box
    answer = torch.zeros(len(places), VALUES)
    answer[:, 0] = logit
    answer[:, 1], answer[:, 2] = (x + width / 2) / stride - places[:, 0], (y + height / 2) / stride - places[:, 1]
    answer[:, 3], answer[:, 4] = torch.log(width / stride), torch.log(height / stride)
    answer[:, 5:] = answer[:, 1:3].repeat(1, 5)
    return answer
