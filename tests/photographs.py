"""Generate distinct photographs of the example's face, and convert responses to numbers."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from mien.v1 import face_pb2
from mien.v1 import face_service_pb2 as pb

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "astronaut.jpg"

_HEAD = (104, 0, 344, 240)
"""Head and shoulders in the example: left, top, right, bottom, in pixels."""
_SIZE = 192, 144
"""Width and height, in pixels: small, so that a thousand of them take seconds."""

_ROUNDING = 1e-5
"""Of probabilities as 32-bit floats."""


def distinct(count: int, seed: int = 0) -> list[bytes]:
    """Return JPEG files of one face each, with distinct position, size, tilt, lighting, colour and background."""
    random = np.random.default_rng(seed)
    with Image.open(EXAMPLE) as file:
        head = file.convert("RGB").crop(_HEAD)
    return [encoded(_photograph(head, random), "JPEG", quality=92) for _ in range(count)]


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    """Return an image file of one of Pillow's formats."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)  # type: ignore[arg-type]  # each format has its own
    return buffer.getvalue()


def numbers(reply: pb.AnalyzeResponse) -> NDArray[np.float64]:
    """Return a response's one face: box (4), years, low, high, probability of male, 7 emotions by name."""
    (face,) = reply.faces
    male = face.gender.probability if face.gender.value == face_pb2.GENDER_VALUE_MALE else 1 - face.gender.probability
    emotions = [emotion.probability for emotion in sorted(face.emotions, key=lambda emotion: emotion.label)]
    box = [face.box.x, face.box.y, face.box.width, face.box.height]
    return np.array([*box, face.age.years, face.age.low, face.age.high, male, *emotions])


def _photograph(head: Image.Image, random: np.random.Generator) -> Image.Image:
    width, height = _SIZE
    side = int(random.integers(96, 136))
    person = head.rotate(float(random.uniform(-12, 12)), Image.Resampling.BICUBIC).resize((side, side))
    person = ImageOps.mirror(person) if random.random() < 0.5 else person
    person = ImageEnhance.Brightness(person).enhance(float(random.uniform(0.6, 1.3)))
    person = ImageEnhance.Color(person).enhance(float(random.uniform(0, 1.8)))
    ground = random.uniform(40, 215, 3) + np.linspace(-40, 40, width)[None, :, None] * random.uniform(-1, 1, 3)
    picture = Image.fromarray(np.broadcast_to(ground, (height, width, 3)).astype(np.uint8))
    picture.paste(person, (int(random.integers(width - side)), int(random.integers(height - side))))
    return picture


def nearest_is_own(output: NDArray[np.float64], expected: NDArray[np.float64]) -> bool:
    """Return whether each row is as near to its own expected row as to any other; quantized models give equal ones."""
    for place, row in enumerate(output):
        distances = np.abs(expected - row).sum(axis=1)
        if distances[place] > distances.min() + _ROUNDING:
            return False
    return True
