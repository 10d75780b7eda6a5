"""Crop face chips again as serving does: at another scale, shifted, resized or rotated."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien_models.crops import cut
from mien_models.faces import Faces
from mien_models.spec import CropSpec

_ALIGNED = CropSpec(size=80, scale=1.05, center_y=0.475)
FRAMES = {
    "fer2013": CropSpec(size=48, scale=1.005, center_y=0.52),
    "fairface": _ALIGNED,
    "utkface": _ALIGNED,
}
"""Framing of each data set's chips: their side, and the median position of YuNet's box in them."""

_WIDTH = 0.85  # in box heights; cropping uses only the centre and the height
_EYES = 0.17  # half the distance of the eyes, in box heights


def frame(data: Path) -> CropSpec:
    """Return the framing of a zip's chips by its name; that of aligned chips if the name is unknown."""
    return FRAMES.get(data.stem, _ALIGNED)


def cut_again(
    images: NDArray[np.uint8],
    framed: CropSpec,
    wanted: CropSpec,
    *,
    shift: NDArray[np.float64] | None = None,
    zoom: NDArray[np.float64] | None = None,
    angle: NDArray[np.float64] | None = None,
) -> NDArray[np.uint8]:
    """Crop (N, H, H, 3) uint8 RGB chips as `wanted` specifies, repeating edges; return (N, S, S, 3) uint8.

    The box is displaced by `shift` (N, 2), in box heights to the right and down, and scaled by `zoom` (N,); the eye
    line is rotated by `angle` (N,), radians, clockwise.
    """
    count, side = images.shape[:2]
    height = side / framed.scale * (np.ones(count) if zoom is None else zoom)
    centre = np.array([0.5, framed.center_y]) * side + (0 if shift is None else shift * side / framed.scale)
    turned = np.zeros(count) if angle is None else angle
    across = _EYES * height[:, None] * np.stack([np.cos(turned), np.sin(turned)], 1)
    centre = np.broadcast_to(centre, (count, 2))
    boxes = np.stack(
        [centre[:, 0] - _WIDTH * height / 2, centre[:, 1] - height / 2, _WIDTH * height, height], 1, dtype=np.float32
    )
    points = np.stack([centre - across, centre + across, centre, centre, centre], 1, dtype=np.float32)
    crops = np.empty((count, wanted.size, wanted.size, 3), np.uint8)
    for index, image in enumerate(images):
        one = slice(index, index + 1)
        crops[index] = cut(image, Faces(boxes[one], points[one]), wanted)[0]
    return crops
