"""Detect faces with YuNet's published ONNX file, through ONNX Runtime.

YuNet: Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research, 2023. OpenCV's
`FaceDetectorYN` runs the same file and finds the same faces, in about twice the time.
"""

import hashlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien_models.catalog import YUNET
from mien_models.detectors.base import DetectorInfo
from mien_models.detectors.dense import STRIDES, DenseDetector, session
from mien_models.errors import DetectorError
from mien_models.runtimes.devices import Device

_CPU = Device("cpu")

MIN_SCORE = 0.65
"""Score threshold.

On detect.zip it finds as many of the hand-drawn faces of 16 pixels and more (val) as 0.6 does, 78 of 104, with 43
false positives instead of 59 on its 872 backgrounds, which were selected to mislead YuNet; 0.75 finds 69, with 21.
"""

MAX_OVERLAP = 0.3
"""IoU threshold of the non-maximum suppression: FaceDetectorYN's default."""

_OUTPUTS = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES]

# The file declares an input of 320 x 320, but no operator depends on it. The two dimensions are encoded as
# protobuf {dim {dim_value: 320}}; a {dim {dim_param: "h"}} has the same length, so all lengths around it stay valid.
_FIXED_SIZE = b"\x0a\x03\x08\xc0\x02" * 2
_FREE_SIZE = b"\x0a\x03\x12\x01h" + b"\x0a\x03\x12\x01w"
_INPUT = b"\x0a\x05input\x12\x18\x0a\x16\x08\x01\x12\x12\x0a\x02\x08\x01\x0a\x02\x08\x03"


class YuNet(DenseDetector):
    """The published YuNet."""

    def __init__(
        self, model_path: Path, *, long_side: int, min_score: float = MIN_SCORE, device: Device = _CPU
    ) -> None:
        """Load the file; raises `DetectorError` if it is missing or not the published one."""
        super().__init__(long_side=long_side, min_score=min_score, max_overlap=MAX_OVERLAP)
        self.info = DetectorInfo("yunet", "2023", f"sha256:{YUNET.sha256}", device.name)
        self._session = session(_free(_read(model_path)), device, f"detector {model_path}")

    def predict(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the scores and shapes of all cells; see `DenseDetector`."""
        outputs = self._session.run(_OUTPUTS, {"input": cv2.dnn.blobFromImage(image, swapRB=True)})
        classes, objects, boxes, points = (np.concatenate(outputs[i : i + 3], axis=1)[0] for i in range(0, 12, 3))
        scores = np.sqrt(classes.clip(0, 1) * objects.clip(0, 1))[:, 0]
        return scores, np.concatenate([boxes, points], axis=1)


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DetectorError(
            f"YuNet's file {path} cannot be read: set detector.path to {YUNET.file}, or run `mien models fetch yunet`"
        ) from error
    if hashlib.sha256(data).hexdigest() != YUNET.sha256:
        raise DetectorError(
            f"{path} is not the published {YUNET.file} (SHA-256 {YUNET.sha256}): run `mien models fetch yunet`"
        )
    return data


def _free(data: bytes) -> bytes:
    """Return the file with variable input dimensions."""
    return data.replace(_INPUT + _FIXED_SIZE, _INPUT + _FREE_SIZE)
