"""Face chips as photographs whose face box is known: cut again as serving cuts them, wider, shifted or turned."""

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
"""How each data set's chips are framed: their side, and where YuNet's box lies in them (medians)."""

_WIDTH = 0.85  # of the box's height; cutting reads the centre and the height alone
_EYES = 0.17  # half of the distance between the eyes, likewise


def frame(data: Path) -> CropSpec:
    """Return the framing of a zip's chips, by its name; that of the aligned chips where the name is unknown."""
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
    """Cut (N, H, H, 3) uint8 RGB chips as `wanted` says; beyond a chip its edge is repeated. (N, S, S, 3) uint8.

    The box is off by `shift` (N, 2), as fractions of its height to the right and down, and by `zoom` (N,), a factor of
    its size; the line through the eyes by `angle` (N,), radians, clockwise.
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
