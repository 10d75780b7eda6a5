"""An image in, YuNet's faces out: the published ONNX file, run by ONNX Runtime.

YuNet: Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research, 2023. OpenCV's
`FaceDetectorYN` runs the same file and finds the same faces, in about twice the time.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mien_models.detect import DetectorError, shrink
from mien_models.faces import Faces
from mien_models.published import YUNET

MIN_SCORE = 0.65
"""Score from which a box counts as a face.

On detect.zip it finds as many of the hand-drawn faces of 16 pixels and more (val) as 0.6 does, 78 of 104, with 43
boxes instead of 59 on its 872 backgrounds, which were gathered to mislead YuNet; at 0.75 it finds 69, with 21.
"""

MAX_OVERLAP = 0.3
"""Intersection over union from which the weaker of two boxes is dropped: FaceDetectorYN's own default."""

_STRIDES = (8, 16, 32)
_OUTPUTS = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in _STRIDES]

# The file declares an input of 320 x 320, yet no operator in it depends on that. The two dimensions are written as
# protobuf {dim {dim_value: 320}}; a {dim {dim_param: "h"}} is as many bytes long, so every length around it still fits.
_FIXED_SIZE = b"\x0a\x03\x08\xc0\x02" * 2
_FREE_SIZE = b"\x0a\x03\x12\x01h" + b"\x0a\x03\x12\x01w"
_INPUT = b"\x0a\x05input\x12\x18\x0a\x16\x08\x01\x12\x12\x0a\x02\x08\x01\x0a\x02\x08\x03"


class YuNet:
    """YuNet at the image's own size, or at `long_side` pixels where that is smaller."""

    name = "yunet"

    def __init__(self, model_path: Path, *, long_side: int, min_score: float = MIN_SCORE) -> None:
        """Load the file; raises `DetectorError` where it is missing or not the published one."""
        self._session = _session(_read(model_path))
        self._long_side = long_side
        self._min_score = min_score

    def detect(self, image: NDArray[np.uint8]) -> Faces:
        """Find the faces of an image (H, W, 3) uint8 RGB, with points and scores."""
        small, factor = shrink(image, self._long_side)
        height, width = small.shape[:2]
        bottom, right = -height % _STRIDES[-1], -width % _STRIDES[-1]
        padded = cv2.copyMakeBorder(small, 0, bottom, 0, right, cv2.BORDER_CONSTANT)
        outputs = self._session.run(_OUTPUTS, {"input": cv2.dnn.blobFromImage(padded, swapRB=True)})
        boxes, points, scores = _decode(outputs, _priors(*padded.shape[:2]), self._min_score)
        return Faces(boxes * np.tile(factor, 2), points * factor, scores)


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DetectorError(
            f"YuNet's file {path} cannot be read: set model_path to {YUNET.file}, or run `mien models fetch yunet`."
        ) from error
    if hashlib.sha256(data).hexdigest() != YUNET.sha256:
        raise DetectorError(
            f"{path} is not the published {YUNET.file} (SHA-256 {YUNET.sha256}): run `mien models fetch yunet`."
        )
    return data


def _session(data: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # One thread a call: requests run beside each other, and threads of their own would only get in each other's way.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # A memory plan is kept for every input shape, and images have many.
    options.enable_mem_pattern = False
    # Errors only: the outputs' declared shapes are those of 320 x 320, which is warned of in every other size.
    options.log_severity_level = 3
    free = data.replace(_INPUT + _FIXED_SIZE, _INPUT + _FREE_SIZE)
    return onnxruntime.InferenceSession(free, options, providers=["CPUExecutionProvider"])


@lru_cache(maxsize=64)
def _priors(height: int, width: int) -> NDArray[np.float32]:
    """Return (P, 3) column, row and stride of each cell, level by level, in the order of the outputs."""
    levels = []
    for stride in _STRIDES:
        rows, columns = np.mgrid[: height // stride, : width // stride]
        levels.append(np.stack([columns.ravel(), rows.ravel(), np.full(rows.size, stride)], axis=1))
    return np.concatenate(levels).astype(np.float32)


def _decode(
    outputs: Sequence[NDArray[np.float32]], priors: NDArray[np.float32], min_score: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Turn the outputs `_OUTPUTS` into boxes (N, 4), points (N, 5, 2) and scores (N,), the best first.

    The arithmetic is that of OpenCV's face_detect.cpp.
    """
    levels = len(_STRIDES)
    classes, objects, boxes, points = (np.concatenate(outputs[i : i + levels], axis=1)[0] for i in range(0, 12, levels))
    scores = np.sqrt(classes.clip(0, 1) * objects.clip(0, 1))[:, 0]
    likely = np.flatnonzero(scores >= min_score)
    scores, cells, strides = scores[likely], priors[likely, :2], priors[likely, 2:]
    centres = (cells + boxes[likely, :2]) * strides
    sizes = np.exp(boxes[likely, 2:]) * strides
    found = np.concatenate([centres - sizes / 2, sizes], axis=1)
    marks = (points[likely].reshape(-1, 5, 2) + cells[:, None]) * strides[:, None]
    # Whole pixels, as OpenCV's own detector compares them: with fractions other boxes win here and there.
    whole = found.astype(int).tolist()
    kept = np.asarray(cv2.dnn.NMSBoxes(whole, scores.tolist(), min_score, MAX_OVERLAP), np.intp).reshape(-1)
    return found[kept], marks[kept], scores[kept]
