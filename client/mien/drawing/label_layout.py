"""Place labels in an image without overlap with faces and other labels, as far as there is room."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rectangles = NDArray[np.float64]
"""(N, 4) left, top, right, bottom in pixels."""

_ROUNDS = 3
_STEPS = (0.0, 0.5, 1.0, 1.75, 2.5, 3.5)
_ON_LABEL, _ON_FACE, _ON_OWN_FACE, _AWAY = 10.0, 8.0, 3.0, 0.25


def place_labels(
    sizes: Sequence[tuple[float, float]], faces: Rectangles, unlabelled: Rectangles, width: float, height: float
) -> Rectangles:
    """Place one label per face, each beside its face.

    Each label takes the cheapest of some hundred places around its face: overlap with another label or face costs most,
    then overlap with its own face, then distance. Labels are placed in order, then each is placed again with all
    others known.

    Args:
        sizes: Width and height of each label, in pixels.
        faces: (N, 4) boxes of the faces, as many as there are labels.
        unlabelled: (M, 4) boxes of faces without a label, to be kept free too.
        width: Width of the picture; labels stay inside.
        height: Height of the picture.

    Returns:
        (N, 4) rectangles of the labels.

    """
    placed = np.full((len(faces), 4), np.nan)
    for _ in range(_ROUNDS):
        before = placed.copy()
        for index, (wide, tall) in enumerate(sizes):
            places, distances = _candidates(faces[index], wide, tall, width, height)
            others = np.delete(placed, index, axis=0)
            others = others[~np.isnan(others[:, 0])]
            rest = np.concatenate([np.delete(faces, index, axis=0), unlabelled])
            cost = _ON_LABEL * covered(places, others) + _ON_FACE * covered(places, rest)
            cost += _ON_OWN_FACE * covered(places, faces[index : index + 1]) + _AWAY * distances
            placed[index] = places[np.argmin(cost)]
        if np.array_equal(before, placed):
            break
    return placed


def covered(places: Rectangles, others: Rectangles) -> NDArray[np.float64]:
    """Return the overlap of each of (N, 4) places with others, as a share of the place's area, summed: (N,)."""
    if not len(others):
        return np.zeros(len(places))
    low = np.maximum(places[:, None, :2], others[None, :, :2])
    high = np.minimum(places[:, None, 2:], others[None, :, 2:])
    common: NDArray[np.float64] = np.prod(np.clip(high - low, 0, None), axis=2).sum(axis=1)
    area: NDArray[np.float64] = np.maximum(np.prod(places[:, 2:] - places[:, :2], axis=1), 1e-9)
    return common / area


def _candidates(
    face: NDArray[np.float64], wide: float, tall: float, width: float, height: float
) -> tuple[Rectangles, NDArray[np.float64]]:
    """Return (M, 4) places around a face, inside the picture, and their distance from it in label heights."""
    left, top, right, bottom = face
    corners = []
    for step in _STEPS:
        gap = step * tall
        across = np.linspace(left - wide * (step > 0), right - wide * (step == 0), 5)
        across[0] = left if step == 0 else across[0]
        corners += [(x, y, step + 0.01 * i) for y in (bottom + gap, top - tall - gap) for i, x in enumerate(across)]
        down = np.linspace(top, bottom - tall, 4)
        corners += [(x, y, step + 0.3) for x in (right + gap, left - wide - gap) for y in down]
    corners += [(x, y, 0.0) for x in (left, right - wide) for y in (bottom - tall, top)]
    placed = np.array(corners)
    x = np.clip(placed[:, 0], 0, max(0.0, width - wide))
    y = np.clip(placed[:, 1], 0, max(0.0, height - tall))
    return np.stack([x, y, x + wide, y + tall], axis=1), placed[:, 2]
