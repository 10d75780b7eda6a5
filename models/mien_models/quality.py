"""Measure the size and sharpness of faces, and select those that are good enough for predictions.

Sharpness is measured on the face resized to 16 x 16 grey pixels, I. With D the differences of neighbouring pixels,
vertical and horizontal, and L = -D'D the Laplacian (zero flux at the edges):

    sharpness = |L I|^2 / (8 |D I|^2)

It is the mean squared frequency of the edges, relative to the highest of the grid: 0 for a flat image, about 0.6 for
white noise, always below 1. Differences cancel brightness, the ratio cancels contrast. A small face that is enlarged to
the grid has no fine edges and scores low, as a blurred one does.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien_models.crops import cut
from mien_models.faces import Faces
from mien_models.spec import CropSpec

CROP = CropSpec(size=16, scale=0.8, center_y=0.5)
"""The inner face, without background, at the resolution below which the models' predictions fail too."""

_ENOUGH = 64
"""Faces at least twice this many pixels high are subsampled by an integer step."""

_GREY = np.array([0.299, 0.587, 0.114], np.float32)
"""Luma weights of ITU-R BT.601."""

_NOTHING = np.float32(0)

_HIGHEST = 8.0
"""Upper bound of the eigenvalues of -L on a two-dimensional grid."""


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """Minimum quality of faces that get predictions."""

    min_face_px: float
    """Height of the face's box, in pixels of the original image."""
    min_sharpness: float
    """Sharpness as defined in this module, 0 to 1; 0 accepts every face."""


@dataclass(frozen=True, slots=True, eq=False)
class Quality:
    """The quality of the N faces of an image, and the faces below the limits."""

    size_px: NDArray[np.float32]
    """(N,) height of the box, in pixels of the upright image."""
    sharpness: NDArray[np.float32]
    """(N,) in [0, 1)."""
    too_small: NDArray[np.bool_]
    """(N,)"""
    too_blurred: NDArray[np.bool_]
    """(N,)"""

    @property
    def answerable(self) -> NDArray[np.intp]:
        """(M,) indices of the faces that get predictions, in the faces' order."""
        return np.flatnonzero(~(self.too_small | self.too_blurred))


def judge(image: NDArray[np.uint8], faces: Faces, limits: QualityLimits, *, shrunk: int = 1) -> Quality:
    """Measure the faces of an image (H, W, 3) uint8 RGB and compare them with the limits.

    The image is the original shrunk by `shrunk`; sizes are in pixels of the original.
    """
    return compare(faces.boxes[:, 3] * shrunk, sharpness(_cut(image, faces)), limits)


def compare(size_px: NDArray[np.float32], sharp: NDArray[np.float32], limits: QualityLimits) -> Quality:
    """Compare heights (N,), in pixels of the original image, and sharpness (N,) with the limits."""
    return Quality(size_px, sharp, size_px < limits.min_face_px, sharp < limits.min_sharpness)


def _cut(image: NDArray[np.uint8], faces: Faces) -> NDArray[np.uint8]:
    """Crop the faces for `sharpness`, (N, S, S, 3); large ones are subsampled, so that all cost the same."""
    crops = np.empty((len(faces), CROP.size, CROP.size, 3), np.uint8)
    for index, height in enumerate(faces.boxes[:, 3].tolist()):
        step = max(1, int(height / _ENOUGH))
        crops[index] = cut(image[::step, ::step], faces.take(np.array([index])).scaled(1 / step), CROP)[0]
    return crops


def sharpness(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the sharpness (N,) in [0, 1) of crops (N, S, S, 3) uint8 RGB; see this module."""
    grey = crops @ _GREY
    down, across = np.diff(grey, axis=1), np.diff(grey, axis=2)
    laplacian = np.diff(down, axis=1, prepend=_NOTHING, append=_NOTHING) + np.diff(
        across, axis=2, prepend=_NOTHING, append=_NOTHING
    )
    edges = (down**2).sum((1, 2)) + (across**2).sum((1, 2))
    fine = (laplacian**2).sum((1, 2))
    measured: NDArray[np.float32] = np.divide(fine, _HIGHEST * edges, out=np.zeros_like(fine), where=edges > 0)
    return measured
