"""Photographs to ask for: chosen from a folder, or composed from the example portrait where there is none."""

import io
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from answers import face_count
from load import Photograph
from pipeline import Pipeline

PORTRAIT = Path(__file__).parent.parent / "examples" / "astronaut.jpg"
GROUPS = (1, 3, 10, 30)
"""People in the pictures that show what more faces cost."""

_MOST_FACES = 10
_SIDE = 1024
"""Pixels of a composed picture's sides, whatever the number of people."""
_HEAD = (104, 0, 344, 240)
"""Head and shoulders in the portrait: left, top, right, bottom, in pixels."""
_SUFFIXES = {".jpg", ".jpeg", ".png"}


def choose(folder: Path, count: int, seed: int) -> list[Photograph]:
    """Return `count` photographs of a folder in which 1 to 10 faces are found, as evenly over these as there are."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    by_faces: dict[int, list[Photograph]] = defaultdict(list)
    for photograph in ask([(path.relative_to(folder).as_posix(), path.read_bytes()) for path in paths]):
        faces = face_count(photograph.expected)
        if 1 <= faces <= _MOST_FACES:
            by_faces[faces].append(photograph)
    random = np.random.default_rng(seed)
    shuffled = {faces: [same[i] for i in random.permutation(len(same))] for faces, same in sorted(by_faces.items())}
    return list(_in_turn(list(shuffled.values())))[:count]


def _in_turn(lists: Sequence[list[Photograph]]) -> Iterator[Photograph]:
    """Yield the first of each list, then the second of each that has one, and so on."""
    for index in range(max(map(len, lists), default=0)):
        yield from (items[index] for items in lists if index < len(items))


def compose(people: Sequence[int], seed: int) -> list[Photograph]:
    """Return one group picture for each number of people, all of the same size."""
    return ask([(f"composed, {count} people", _group(count, seed)) for count in people])


def ask(images: Sequence[tuple[str, bytes]]) -> list[Photograph]:
    """Return photographs with what the models say of them."""
    pipeline = Pipeline()
    return [Photograph(name, data, pipeline.analyze(data)) for name, data in images]


def _group(people: int, seed: int) -> bytes:
    """Return a JPEG of so many copies of the portrait, each of another brightness, every other one mirrored."""
    random = np.random.default_rng(seed)
    columns = math.ceil(math.sqrt(people))
    tile = _SIDE // columns
    picture = Image.new("RGB", (_SIDE, _SIDE), "grey")
    with Image.open(PORTRAIT) as file:
        head = file.convert("RGB").resize((tile, tile), Image.Resampling.LANCZOS, box=_HEAD)
    for index in range(people):
        person = ImageOps.mirror(head) if index % 2 else head
        person = ImageEnhance.Brightness(person).enhance(random.uniform(0.7, 1.2))
        picture.paste(person, (index % columns * tile, index // columns * tile))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
