"""Training pictures for a detector: crops of photographs, mosaics of them, and faces pasted into them.

Pasting is that of Dwibedi, Misra, Hebert, "Cut, Paste and Learn", ICCV 2017; mosaics are YOLOv4's (arXiv 2004.10934).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mien_training.detection.chips import SIDE, Chips, mask
from mien_training.detection.photographs import Photograph

LEAST = 7.0
"""Longer side, in pixels, below which a face is ignored."""

_MIRRORED = [1, 0, 2, 4, 3]  # order of the five landmarks in a mirrored image
_VISIBLE = 0.5  # visible fraction of a face's box below which it is ignored
_FURTHER = 0.25  # fraction of crops from further photographs
_COVERED = 0.75  # fraction of crops that a photograph fills, or nearly
_EMPTY = 0.25  # fraction of crops from photographs without faces
_ENLARGED = 2.0  # largest enlargement of a photograph
_SMALLEST = 13.0  # smallest longer side, in pixels, of the face that a crop is centred on
_EYES = 0.27  # distance of the eyes, in box widths, below which a face is a side view
_LEVEL, _SLIGHT = 0.3, 0.3  # fractions of crops without rotation, and with a small one
_STEEPEST = 0.9  # largest rotation, in radians: slightly above 45 degrees
_SIDEWAYS = 4.0  # sampling weight of side views, which are rare


@dataclass(slots=True, eq=False)
class Scene:
    """One training image; coordinates in its pixels."""

    image: NDArray[np.uint8]
    """(S, S, 3) RGB."""
    boxes: NDArray[np.float32]
    """(N, 4) x, y, width, height."""
    points: NDArray[np.float32]
    """(N, 5, 2); NaN where unknown."""
    ignored: NDArray[np.float32]
    """(M, 4) boxes of regions to ignore, which count neither as face nor as background."""


class Composer:
    """Compose training scenes from photographs and chips."""

    def __init__(
        self, photographs: Sequence[Photograph], chips: Chips | None, further: Sequence[Photograph] = ()
    ) -> None:
        """Sample a quarter of the crops from `further` photographs, however many there are."""
        self._faces = [item for item in photographs if len(item.boxes)]
        self._backgrounds = [item for item in photographs if not len(item.boxes) and not len(item.ignored)]
        if not self._faces:
            raise ValueError("the photographs contain no face; a detector needs at least one")
        further = [item for item in further if len(item.boxes)]
        own, self._faces = self._faces, [*self._faces, *further]
        self._weights = {item: _weights(item) for item in self._faces}
        # Photographs of crowds are hard and few: sample each by the square root of its number of faces.
        shares = np.sqrt([self._weights[item].sum() for item in self._faces])
        if further:
            shares[: len(own)] *= (1 - _FURTHER) / shares[: len(own)].sum()
            shares[len(own) :] *= _FURTHER / shares[len(own) :].sum()
        self._until = np.cumsum(shares / shares.sum())
        self._chips = chips

    def compose(self, size: int, random: np.random.Generator, *, plain: bool = False) -> Scene:
        """Compose a scene of `size` x `size` pixels; a `plain` one is an unmodified crop of one photograph."""
        if plain:
            return _sorted_out(self._crop(self._photograph(random, _EMPTY), size, size, random))
        kind = random.random()
        if kind < 0.45:
            scene = self._crop(self._photograph(random, _EMPTY), size, size, random)
        elif kind < 0.85:
            scene = self._mosaic(size, random)
        else:
            scene = self._crop(self._photograph(random, 0.9), size, size, random)
        if self._chips is not None:
            most = 16 if kind >= 0.85 else 3
            for _ in range(int(random.integers(0, most + 1))):
                self._paste(scene, self._chips, random)
        return _sorted_out(scene)

    def _photograph(self, random: np.random.Generator, background: float) -> Photograph:
        """Choose a photograph, with probability `background` one without faces."""
        if self._backgrounds and random.random() < background:
            return self._backgrounds[int(random.integers(len(self._backgrounds)))]
        place = int(np.searchsorted(self._until, random.random(), side="right"))
        return self._faces[min(place, len(self._faces) - 1)]

    def _mosaic(self, size: int, random: np.random.Generator) -> Scene:
        """Join four crops at a random centre."""
        x, y = (int(size * random.uniform(0.3, 0.7)) for _ in range(2))
        scene = _empty(size, size)
        for left, top, right, bottom in ((0, 0, x, y), (x, 0, size, y), (0, y, x, size), (x, y, size, size)):
            part = self._crop(self._photograph(random, 0.2), right - left, bottom - top, random)
            part = _sorted_out(part)
            scene.image[top:bottom, left:right] = part.image
            _add(scene, part, (left, top))
        return scene

    def _crop(self, item: Photograph, width: int, height: int, random: np.random.Generator) -> Scene:
        """Crop `width` x `height` pixels from a photograph that is scaled, rotated and possibly mirrored."""
        rows, columns = item.image.shape[:2]
        if len(item.boxes):
            weights = self._weights[item]
            box = item.boxes[int(random.choice(len(weights), p=weights / weights.sum()))]
            longer = float(box[2:].max())
            wanted = math.exp(random.uniform(math.log(_SMALLEST), math.log(0.95 * min(width, height))))
            scale = wanted / longer
            aim = box[:2] + box[2:] / 2
        else:
            scale = math.exp(random.uniform(math.log(0.4), math.log(1.6)))
            aim = np.array([columns * random.random(), rows * random.random()])
        fits, covers = min(width / columns, height / rows), max(width / columns, height / rows)
        least = 0.9 * covers if random.random() < _COVERED else 0.6 * fits
        scale = min(max(scale, least), _ENLARGED)
        image = item.image
        shrunk = np.ones(2)
        if scale < 1:
            small = max(1, round(columns * scale)), max(1, round(rows * scale))
            image = np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), np.uint8)
            shrunk = np.array([small[0] / columns, small[1] / rows])
        angle = _tilt(random)
        if random.random() < 0.02:
            angle += random.choice([-1, 1]) * math.pi / 2
        mirrored = random.random() < 0.5
        matrix = _turn(angle, max(scale, 1.0), mirrored=mirrored)
        # The face (or a random point of a background) lies in the middle 80 % of the crop.
        place = np.array([width, height]) * random.uniform(0.1, 0.9, 2)
        # Borders are visible only if the photograph is too small to fill the crop.
        slack = np.array([columns, rows]) * scale - (width, height)
        seen_at = scale * np.array([columns - aim[0] if mirrored else aim[0], aim[1]])
        start = np.where(slack > 0, (seen_at - place).clip(0, slack.clip(0)), random.uniform(0, 1, 2) * slack)
        place = seen_at - start
        matrix = np.c_[matrix, place - matrix @ (aim * shrunk)]
        return _warped(item, image, matrix, shrunk, (width, height), random)

    def _paste(self, scene: Scene, chips: Chips, random: np.random.Generator) -> None:
        """Paste a face, or sometimes a background patch with the same edges, where it covers no face."""
        size = scene.image.shape[0]
        index = int(random.integers(len(chips)))
        box = chips.boxes[index]
        wanted = math.exp(random.uniform(math.log(8), math.log(0.5 * size)))
        scale = min(wanted / float(box[2:].max()), _ENLARGED)
        reach = 0.75 * SIDE * scale
        place = random.uniform(0.3 * reach, size - 0.3 * reach, 2)
        square = np.array([*(place - reach), 2 * reach, 2 * reach], np.float32)
        if _touches(square, scene.boxes) or _touches(square, scene.ignored):
            return
        decoy = bool(self._backgrounds) and random.random() < 0.2
        picture = self._patch(random) if decoy else chips.images[index]
        opacity = mask(random, box)
        side = SIDE
        if scale < 1:
            side = max(4, round(SIDE * scale))
            picture = np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
            opacity = np.asarray(cv2.resize(opacity, (side, side), interpolation=cv2.INTER_AREA), np.float32)
        shrunk = side / SIDE
        matrix = _turn(_tilt(random), max(scale, 1.0), mirrored=random.random() < 0.5)
        matrix = np.c_[matrix, place - matrix @ np.full(2, side / 2)]
        _blend(scene.image, picture, opacity, matrix, random)
        if not decoy:
            new_box, new_points = _moved(box[None] * shrunk, chips.points[index][None] * shrunk, matrix)
            scene.boxes = np.concatenate([scene.boxes, new_box])
            scene.points = np.concatenate([scene.points, new_points])

    def _patch(self, random: np.random.Generator) -> NDArray[np.uint8]:
        """Cut a chip-sized square from a photograph without faces."""
        image = self._photograph(random, 1.0).image
        top, left = (int(random.integers(max(1, side - SIDE))) for side in image.shape[:2])
        patch = image[top : top + SIDE, left : left + SIDE]
        return np.asarray(cv2.resize(patch, (SIDE, SIDE)), np.uint8)


def _weights(item: Photograph) -> NDArray[np.float64]:
    """Return the sampling weight of each face of a photograph."""
    eyes = (item.points[:, 1, 0] - item.points[:, 0, 0]) / item.boxes[:, 2]
    return np.where((eyes < _EYES) & (item.boxes[:, 2:].max(1) > 2 * LEAST), _SIDEWAYS, 1.0)


def _empty(width: int, height: int) -> Scene:
    return Scene(
        np.zeros((height, width, 3), np.uint8),
        np.zeros((0, 4), np.float32),
        np.zeros((0, 5, 2), np.float32),
        np.zeros((0, 4), np.float32),
    )


def _tilt(random: np.random.Generator) -> float:
    """Sample a rotation in radians: none, a small one, or a uniform one up to `_STEEPEST`."""
    kind = random.random()
    if kind < _LEVEL:
        return 0.0
    return float(random.normal(0, 0.17) if kind < _LEVEL + _SLIGHT else random.uniform(-_STEEPEST, _STEEPEST))


def _turn(angle: float, scale: float, *, mirrored: bool) -> NDArray[np.float64]:
    """Return a (2, 2) matrix: mirror horizontally, then rotate and scale."""
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    sign = -1.0 if mirrored else 1.0
    return np.array([[cos * sign, -sin], [sin * sign, cos]])


def _moved(
    boxes: NDArray[np.floating], points: NDArray[np.floating], matrix: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Transform (N, 4) boxes and (N, 5, 2) points by a (2, 3) matrix; a box is transformed as its inscribed ellipse."""
    linear, shift = matrix[:, :2], matrix[:, 2]
    centres = (boxes[:, :2] + boxes[:, 2:] / 2) @ linear.T + shift
    sizes = np.sqrt(boxes[:, 2:] ** 2 @ (linear**2).T)
    moved = points @ linear.T + shift
    if np.linalg.det(linear) < 0:
        moved = moved[:, _MIRRORED]
    return np.concatenate([centres - sizes / 2, sizes], axis=1).astype(np.float32), moved.astype(np.float32)


def _warped(
    item: Photograph,
    image: NDArray[np.uint8],
    matrix: NDArray[np.float64],
    shrunk: NDArray[np.float64],
    size: tuple[int, int],
    random: np.random.Generator,
) -> Scene:
    """Warp a photograph, whose `image` was shrunk by `shrunk`, by a (2, 3) matrix of continuous coordinates."""
    fill = (0, 0, 0) if random.random() < 0.5 else tuple(random.integers(0, 256, 3).tolist())
    picture = cv2.warpAffine(image, _centred(matrix), size, borderMode=cv2.BORDER_CONSTANT, borderValue=fill)
    both = np.tile(shrunk, 2)
    boxes, points = _moved(item.boxes * both, item.points * shrunk, matrix)
    ignored, _ = _moved(item.ignored * both, np.zeros((len(item.ignored), 5, 2), np.float32), matrix)
    return Scene(np.asarray(picture, np.uint8), boxes, points, ignored)


def _centred(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert a (2, 3) matrix of continuous coordinates to OpenCV's, where the centre of pixel i is at i."""
    linear, shift = matrix[:, :2], matrix[:, 2]
    return np.column_stack([linear, shift + linear @ np.full(2, 0.5) - 0.5])


def _blend(
    image: NDArray[np.uint8],
    picture: NDArray[np.uint8],
    opacity: NDArray[np.float32],
    matrix: NDArray[np.float64],
    random: np.random.Generator,
) -> None:
    """Blend a patch into an image in place, with about the brightness of its surroundings."""
    side, size = picture.shape[0], image.shape[0]
    corners = np.array([[0, 0], [side, 0], [0, side], [side, side]]) @ matrix[:, :2].T + matrix[:, 2]
    left, top = (max(0, int(value)) for value in corners.min(0))
    right, bottom = (min(size, int(value) + 1) for value in corners.max(0))
    if right <= left or bottom <= top:
        return
    local = _centred(matrix)
    local[:, 2] -= (left, top)
    span = right - left, bottom - top
    drawn = np.asarray(cv2.warpAffine(picture, local, span, borderMode=cv2.BORDER_REPLICATE), np.float32)
    alpha = np.asarray(cv2.warpAffine(opacity, local, span, borderMode=cv2.BORDER_CONSTANT))[:, :, None]
    under = image[top:bottom, left:right].astype(np.float32)
    matched = random.uniform(0, 0.7)
    drawn += matched * (under.mean((0, 1)) - drawn.mean((0, 1)))
    image[top:bottom, left:right] = (under + alpha * (drawn - under)).clip(0, 255).astype(np.uint8)


def _touches(box: NDArray[np.float32], others: NDArray[np.float32]) -> bool:
    low, high = others[:, :2], others[:, :2] + others[:, 2:]
    return bool(((low < box[:2] + box[2:]) & (high > box[:2])).all(1).any())


def _add(scene: Scene, part: Scene, offset: tuple[int, int]) -> None:
    """Add another scene's faces and ignored boxes, moved by `offset`."""
    shift = np.array([*offset, 0, 0], np.float32)
    scene.boxes = np.concatenate([scene.boxes, part.boxes + shift])
    scene.points = np.concatenate([scene.points, part.points + shift[:2]])
    scene.ignored = np.concatenate([scene.ignored, part.ignored + shift])


def _sorted_out(scene: Scene) -> Scene:
    """Drop faces outside the image; ignore those that are too small or mostly outside."""
    height, width = scene.image.shape[:2]
    edge = np.array([width, height], np.float32)
    seen, ignored_seen = (
        ((boxes[:, :2] + boxes[:, 2:]).clip(0, edge) - boxes[:, :2].clip(0, edge)).prod(1)
        for boxes in (scene.boxes, scene.ignored)
    )
    share = seen / scene.boxes[:, 2:].prod(1).clip(1e-6)
    good = (share >= _VISIBLE) & (scene.boxes[:, 2:].max(1, initial=0) >= LEAST)
    lost = ~good & (seen > 0)
    scene.ignored = np.concatenate([scene.ignored[ignored_seen > 0], scene.boxes[lost]])
    scene.boxes, scene.points = scene.boxes[good], scene.points[good]
    return scene
