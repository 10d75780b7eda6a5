"""How much a face shows: the faces of an image in, their size and sharpness out, and which of them get answers.

Sharpness is measured on the face cut to 16 x 16 pixels, grey, as I. With D the differences of neighbouring pixels, down
and across, and L = -D'D the Laplacian (nothing flows over the edge):

    sharpness = |L I|^2 / (8 |D I|^2)

It is the mean squared frequency of the edges, as a share of the highest that the grid holds: 0 for a flat picture,
about 0.6 for white noise, never 1. Brightness cancels in the differences, contrast in the ratio. A small face that the
cut enlarges has no fine edges and scores low, as a blurred one does.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien_models.crops import cut
from mien_models.faces import Faces
from mien_models.spec import CropSpec

CROP = CropSpec(size=16, scale=0.8, center_y=0.5)
"""The inner face, without what is behind it, at the resolution below which the models' answers fail too."""

_ENOUGH = 64
"""Of a face at least twice as high as this many pixels, every second, third, ... row and column is looked at."""

_GREY = np.array([0.299, 0.587, 0.114], np.float32)
"""Luma of ITU-R BT.601."""

_NOTHING = np.float32(0)

_HIGHEST = 8.0
"""Bound of the eigenvalues of -L on a grid in two dimensions."""


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """What a face must have to get answers."""

    min_face: float
    """Height of the face's box, in pixels of the photograph."""
    min_sharpness: float
    """See this module; 0 to 1, and 0 takes every face."""


@dataclass(frozen=True, slots=True, eq=False)
class Quality:
    """The quality of the N faces of an image, and what of it is below the limits."""

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
        """(M,) places of the faces that get answers, in the faces' order."""
        return np.flatnonzero(~(self.too_small | self.too_blurred))


def judge(image: NDArray[np.uint8], faces: Faces, limits: QualityLimits, *, shrunk: int = 1) -> Quality:
    """Measure the faces of an image (H, W, 3) uint8 RGB and hold them against the limits.

    The image is the photograph shrunk by `shrunk`; sizes are told in pixels of the photograph.
    """
    size_px = faces.boxes[:, 3] * shrunk
    sharp = sharpness(_cut(image, faces))
    return Quality(size_px, sharp, size_px < limits.min_face, sharp < limits.min_sharpness)


def _cut(image: NDArray[np.uint8], faces: Faces) -> NDArray[np.uint8]:
    """Cut the faces for `sharpness`, (N, S, S, 3); large ones from every k-th pixel, which costs the same for all."""
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
