"""What changed between two frames of a video: where a face went, and whether the camera cut to another scene."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_HEIGHT = 24
"""Height of a template, in pixels: enough for a fraction of a percent, and a tenth of a millisecond."""

_REACH = 0.5
"""Search range around the predicted box, as a fraction of its height."""

_OVERSAMPLED = 2
"""Faces are first subsampled by whole pixels to at most this many times the template's height."""

_THUMBNAIL = (32, 24)
"""Width and height of the image by which scenes are compared."""

_BINS = 8

CUT_CORRELATION = 0.35
"""Correlation of two thumbnails' grey values below which their structure differs. A flash changes it little."""

CUT_COLOURS = 0.8
"""Common share of two thumbnails' colour histograms below which their colours differ. A fast pan changes it little."""


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A face as it looked when it was detected."""

    patch: NDArray[np.uint8]
    """(24, W) grey."""
    height: float
    """Height of its box in the image, in pixels."""


def template(image: NDArray[np.uint8], box: NDArray[np.float64]) -> Template:
    """Return the template of a face: its box (4,) x, y, width, height in an image (H, W, 3) uint8 RGB."""
    width = max(8, round(_HEIGHT * float(box[2] / box[3])))
    centre = box[:2] + box[2:] / 2
    return Template(_sampled(image, centre, _HEIGHT / float(box[3]), (width, _HEIGHT)), float(box[3]))


def search(image: NDArray[np.uint8], shape: Template, box: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Search for a face around the box (4,) in which it is expected, of which it keeps the size.

    Returns the box where it is most alike, and the normalized correlation there, -1 to 1.
    """
    height, width = shape.patch.shape
    margin = round(_HEIGHT * _REACH)
    scale = _HEIGHT / float(box[3])
    region = _sampled(image, box[:2] + box[2:] / 2, scale, (width + 2 * margin, height + 2 * margin))
    alike = cv2.matchTemplate(region, shape.patch, cv2.TM_CCOEFF_NORMED)
    _, best, _, (column, row) = cv2.minMaxLoc(alike)
    right = column + _peak(alike[row], column) - margin
    down = row + _peak(alike[:, column], row) - margin
    found = box.copy()
    found[:2] += np.array([right, down]) / scale
    return found, float(best) if np.isfinite(best) else 0.0


def _peak(values: NDArray[np.float32], at: int) -> float:
    """Return the offset of a parabola's top from its highest sample, -0.5 to 0.5."""
    if not 0 < at < len(values) - 1:
        return 0.0
    before, top, after = (float(value) for value in values[at - 1 : at + 2])
    curve = before - 2 * top + after
    return 0.5 * (before - after) / curve if curve < 0 else 0.0


def _sampled(
    image: NDArray[np.uint8], centre: NDArray[np.float64], scale: float, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return a grey region of `size` around a centre, scaled; the image's edges are repeated."""
    step = max(1, int(1 / (scale * _OVERSAMPLED)))
    reach = np.array(size) / scale / 2 + 2 * step
    limits = np.array([image.shape[1], image.shape[0]])
    low = np.clip(np.floor(centre - reach).astype(int), 0, limits - 1)
    high = np.clip(np.ceil(centre + reach).astype(int), low + 1, limits)
    region = np.ascontiguousarray(image[low[1] : high[1] : step, low[0] : high[0] : step])
    grey = cv2.cvtColor(region, cv2.COLOR_RGB2GRAY)
    # Pixel i of the result has its centre at i + 0.5; pixel j of the region is the image's pixel low + j * step.
    factor = 1 / (scale * step)
    offset = (centre - low - 0.5) / step - factor * (np.array(size) / 2 - 0.5)
    matrix = np.array([[factor, 0, offset[0]], [0, factor, offset[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(grey, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What an image looks like as a whole."""

    grey: NDArray[np.float32]
    """(768,) grey values, of mean 0 and length 1."""
    colours: NDArray[np.float32]
    """(512,) colour histogram; sums to 1."""

    def differs(self, other: "Scene") -> bool:
        """Whether another image is of another scene: in its structure and in its colours."""
        correlation = float(self.grey @ other.grey)
        common = float(np.minimum(self.colours, other.colours).sum())
        return correlation < CUT_CORRELATION and common < CUT_COLOURS


def scene(image: NDArray[np.uint8]) -> Scene:
    """Describe an image (H, W, 3) uint8 RGB."""
    step = max(1, min(image.shape[0] // (4 * _THUMBNAIL[1]), image.shape[1] // (4 * _THUMBNAIL[0])))
    small = cv2.resize(np.ascontiguousarray(image[::step, ::step]), _THUMBNAIL, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32).ravel()
    grey -= grey.mean()
    colours = cv2.calcHist([small], [0, 1, 2], None, [_BINS] * 3, [0, 256] * 3).ravel()
    return Scene(grey / max(float(np.linalg.norm(grey)), 1e-6), colours / colours.sum())
