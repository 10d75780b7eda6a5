"""Draw the tracked faces on a frame: labels, and the trail of each face's mood."""

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mien.types.video import TrackedFace

COLOURS = ((255, 176, 0), (86, 180, 233), (0, 200, 130), (240, 120, 190), (240, 228, 66), (213, 94, 0))
"""Colours of the tracks in turn: the palette of Okabe and Ito, distinguishable with colour blindness."""

_INK = (20, 20, 20)
_TRAIL_MS = 2000.0


def colour(track_id: int) -> tuple[int, int, int]:
    """Return the colour of a track."""
    return COLOURS[(track_id - 1) % len(COLOURS)]


class FaceDrawer:
    """Draws the faces of one video, frame by frame."""

    def __init__(self) -> None:
        self._trails: dict[int, deque[tuple[float, float, float]]] = {}

    def draw(self, pixels: NDArray[np.uint8], faces: Sequence[TrackedFace], timestamp_ms: float) -> NDArray[np.uint8]:
        """Return a copy of (H, W, 3) uint8 RGB with its faces marked."""
        picture = Image.fromarray(pixels)
        pen = ImageDraw.Draw(picture)
        for tracked in faces:
            self._note(tracked, timestamp_ms)
            box, shade = tracked.face.box, colour(tracked.track_id)
            line = max(1, round(box.height / 60))
            corners = (box.x, box.y, box.x + box.width, box.y + box.height)
            pen.rectangle(corners, outline=shade, width=line)
            self._draw_label(pen, tracked, shade, picture.size)
            self._draw_trail(pen, tracked, shade)
        return np.asarray(picture)

    def _note(self, tracked: TrackedFace, timestamp_ms: float) -> None:
        trail = self._trails.setdefault(tracked.track_id, deque())
        if tracked.face.mood:
            trail.append((timestamp_ms, tracked.face.mood.valence, tracked.face.mood.arousal))
        while trail and timestamp_ms - trail[0][0] > _TRAIL_MS:
            trail.popleft()

    def _draw_label(
        self, pen: ImageDraw.ImageDraw, tracked: TrackedFace, shade: tuple[int, int, int], size: tuple[int, int]
    ) -> None:
        box = tracked.face.box
        font = ImageFont.load_default(size=min(max(11.0, box.height / 8), max(size) / 30))
        text = label(tracked)
        left, top, right, bottom = pen.multiline_textbbox((0, 0), text, font=font)
        wide, tall = right - left + 6, bottom - top + 6
        x = min(max(0.0, box.x), max(0.0, size[0] - wide))
        y = box.y - tall if box.y >= tall else min(box.y + box.height, size[1] - tall)
        pen.rectangle((x, y, x + wide, y + tall), fill=shade)
        pen.multiline_text((x + 3 - left, y + 3 - top), text, fill=_INK, font=font)

    def _draw_trail(self, pen: ImageDraw.ImageDraw, tracked: TrackedFace, shade: tuple[int, int, int]) -> None:
        """Draw the mood of the last seconds in a square at the face's lower right: valence across, arousal up."""
        trail, box = self._trails[tracked.track_id], tracked.face.box
        side = box.height / 3
        if not trail or side < 16:
            return
        left, top = box.x + box.width + 2, box.y + box.height - side
        pen.rectangle((left, top, left + side, top + side), outline=shade)
        middle = (left + side / 2, top + side / 2)
        pen.line((left, middle[1], left + side, middle[1]), fill=shade)
        pen.line((middle[0], top, middle[0], top + side), fill=shade)
        points = [(middle[0] + v * side / 2, middle[1] - a * side / 2) for _, v, a in trail]
        if len(points) > 1:
            pen.line(points, fill=(255, 255, 255), width=2)
        x, y = points[-1]
        pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=shade, outline=(255, 255, 255))


def label(tracked: TrackedFace) -> str:
    """Return the label of a face: number, gender and age, then emotion and mood."""
    face = tracked.face
    first = [f"#{tracked.track_id}"]
    if face.gender and face.gender.value != "uncertain":
        first.append(face.gender.value)
    if face.age:
        first.append(f"{face.age.years:.0f}")
    second: list[str] = []
    if tracked.emotion:
        second.append(tracked.emotion)
    if face.mood and face.mood.label != tracked.emotion:
        second.append(face.mood.label)
    return " ".join(first) + (f"\n{', '.join(second)}" if second else "")
