"""Clips for the video benchmark: rendered ones with known truth, and gentle pans over still photographs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from video_metrics import Truth, read_truth

QUALITY = 90
"""JPEG quality of the frames."""

FPS = 25.0
"""Of the pans."""

FACE_HEIGHT = 168.0
"""Height of a pan's face unless it has another one, in pixels."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A short video in memory."""

    name: str
    frames: Sequence[bytes]
    """JPEG files."""
    fps: float
    truth: Truth | None = None
    cuts: Sequence[int] = ()
    """Numbers of the first frames of other scenes, from 0."""


def rendered(folder: Path, limit: int | None = None) -> list[Clip]:
    """Read the clips that `clips.py` rendered: NAME.mp4 with the truth in NAME.txt and NAME.json."""
    clips = []
    for path in sorted(folder.glob("*.mp4")):
        facts = json.loads(path.with_suffix(".json").read_text())
        frames = [encoded(pixels) for pixels in read(path)[:limit]]
        truth = read_truth(path.with_suffix(".txt"), len(frames))
        cuts = [number - 1 for number in facts["cuts"] if number <= len(frames)]
        clips.append(Clip(path.stem, frames, facts["fps"], truth, cuts))
    return clips


def read(path: Path) -> list[NDArray[np.uint8]]:
    """Return the frames of a video file, (H, W, 3) uint8 BGR."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while (got := capture.read())[0]:
        frames.append(np.asarray(got[1], np.uint8))
    capture.release()
    return frames


def encoded(pixels: NDArray[np.uint8]) -> bytes:
    """Return (H, W, 3) uint8 BGR as a JPEG file."""
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


def pan(
    path: Path, folder: Path, *, count: int, face: Sequence[float] | None = None, height: float = FACE_HEIGHT
) -> Clip:
    """Move gently over a photograph: pan, zoom of 8 %, rotation of 2 degrees, noise of sigma 3, encoded as MPEG-4.

    Args:
        path: The photograph.
        folder: Where the video file is written.
        count: Number of frames, of 640 x 480 pixels at 25 per second.
        face: Box x, y, width, height of the face in the middle; None for the whole picture.
        height: Height of that face in the clip, in pixels.

    """
    random, size = np.random.default_rng(0), (640, 480)
    picture = cv2.imread(str(path))
    fit = 1.12 * max(size[0] / picture.shape[1], size[1] / picture.shape[0])
    scale = height / face[3] if face else fit
    centre = np.array([face[0] + face[2] / 2, face[1] + face[3] / 2]) if face else np.array(picture.shape[1::-1]) / 2
    if scale < 1:  # averaged, so that nothing flickers that does not in the photograph
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        centre, scale = centre * scale, 1.0
    target = folder / f"{path.stem}.mp4"
    writer = cv2.VideoWriter(str(target), cv2.VideoWriter_fourcc(*"mp4v"), FPS, size)
    for number in range(count):
        t = number / FPS
        zoom, angle = scale * (1 + 0.08 * np.sin(0.5 * t)), 2 * np.sin(0.9 * t)
        matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), angle, zoom)
        matrix[:, 2] += np.array(size) / 2 - centre
        matrix[:, 2] += (0.05 * size[0] * np.sin(0.7 * t), 0.03 * size[1] * np.sin(1.1 * t))
        moved = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        noisy = moved.astype(np.int16) + random.normal(0, 3, moved.shape).astype(np.int16)
        writer.write(np.clip(noisy, 0, 255).astype(np.uint8))
    writer.release()
    return Clip(path.stem, [encoded(pixels) for pixels in read(target)], FPS)


def change(first: Clip, second: Clip, at: int) -> Clip:
    """Return a clip whose face is that of another pan from frame `at` on: a change of expression at a known time.

    Both pans have a face of the same height in the middle, and move alike.
    """
    height, width = _decoded(first.frames[0]).shape[:2]
    rows, columns = np.mgrid[:height, :width]
    frames = []
    for number, (before, after) in enumerate(zip(first.frames, second.frames, strict=False)):
        if number < at:
            frames.append(before)
            continue
        t = number / FPS
        x, y = width * (0.5 + 0.05 * np.sin(0.7 * t)), height * (0.5 + 0.03 * np.sin(1.1 * t))
        apart = np.hypot((columns - x) / 0.75, (rows - y) / 1.0) / FACE_HEIGHT
        mask = np.clip((0.95 - apart) / 0.15, 0, 1)[..., None]
        frames.append(encoded((_decoded(after) * mask + _decoded(before) * (1 - mask)).astype(np.uint8)))
    return Clip(f"{first.name} to {second.name}", frames, FPS)


def _decoded(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)
