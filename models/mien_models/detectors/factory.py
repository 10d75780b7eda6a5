"""Create detectors by name."""

from pathlib import Path
from typing import TYPE_CHECKING

from mien_models.detectors.base import DETECTORS, Detector
from mien_models.errors import DetectorError, ModelError
from mien_models.runtimes.devices import Device

if TYPE_CHECKING:
    from mien_models.detectors.dense import DenseDetector


def create(
    name: str,
    *,
    model_path: Path | None = None,
    long_side: int,
    min_score: float | None = None,
    tiles: bool = False,
    four_directions: bool = False,
    device: str = "cpu",
) -> Detector:
    """Create the detector `name`, one of `DETECTORS`.

    `model_path` is YuNet's ONNX file, or the specification of a detector trained here (None: the shipped one). An image
    whose longer side exceeds `long_side` pixels is shrunk to it for the first pass, one beyond 3:2 to as many pixels as
    one of 3:2; it is never enlarged. Finer passes, at up to 4 times that resolution, follow where small faces or none
    were found; with `tiles` they go on to the image's own resolution. With `four_directions` an image without a
    surely upright face is searched again, turned by 90, 180 and 270 degrees. `min_score`, in (0, 1), is None for the
    detector's own threshold. `device` is as in `mien_models.runtimes.Device`. Raises `DetectorError` for an unknown
    name, a missing or invalid file, an unsupported setting, and a device that is not available.
    """
    # Imported here so that a process loads only the runtime of its own detector.
    if name == "haar":
        if min_score is not None or tiles or four_directions:
            raise DetectorError(
                "the detector 'haar' has no scores: leave detector.min_score, detector.tiles and "
                "detector.four_directions unset, or choose 'mien'"
            )
        if device != "cpu":
            raise DetectorError(f"the detector 'haar' runs on the CPU, not on {device!r}: unset detector.device")
        from mien_models.detectors.haar import Haar

        return Haar(long_side=long_side)
    from mien_models.detectors.directions import FourDirections
    from mien_models.detectors.pyramid import FINEST, Pyramid

    detector = _dense(name, model_path, long_side, min_score, _device(device))
    pyramid = Pyramid(detector, long_side=long_side, finest=None if tiles else FINEST)
    return FourDirections(pyramid, detector.min_score) if four_directions else pyramid


def _device(text: str) -> Device:
    try:
        return Device.parse(text)
    except ModelError as error:
        raise DetectorError(f"the detector: {error.message}") from error


def _dense(
    name: str, model_path: Path | None, long_side: int, min_score: float | None, device: Device
) -> "DenseDetector":
    """Create a detector that is a neural network."""
    if name == "yunet":
        from mien_models.detectors.yunet import MIN_SCORE, YuNet

        if model_path is None:
            raise DetectorError(
                "the detector 'yunet' needs its file: run `mien models fetch yunet`, or set detector.path to "
                "yunet_n_320_320.onnx"
            )
        least = MIN_SCORE if min_score is None else min_score
        return YuNet(model_path, long_side=long_side, min_score=least, device=device)
    if name == "mien":
        from mien_models.detectors.mien import MienDetector
        from mien_models.detectors.spec import SHIPPED

        return MienDetector(model_path or SHIPPED, long_side=long_side, min_score=min_score, device=device)
    raise DetectorError(f"unknown detector {name!r}: choose one of {', '.join(DETECTORS)}")
