"""Select photographs from a folder, or compose them from the example portrait."""

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
"""Numbers of people in the images that show the cost of more faces."""

_MOST_FACES = 10
_SIDE = 1024
"""Width and height of a composed image in pixels, for any number of people."""
_HEAD = (104, 0, 344, 240)
"""Head and shoulders in the portrait: left, top, right, bottom, in pixels."""
_SUFFIXES = {".jpg", ".jpeg", ".png"}


def choose(folder: Path, count: int, seed: int) -> list[Photograph]:
    """Return `count` photographs of a folder with 1 to 10 detected faces, evenly distributed over these numbers."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    by_faces: dict[int, list[Photograph]] = defaultdict(list)
    for photograph in predict([(path.relative_to(folder).as_posix(), path.read_bytes()) for path in paths]):
        faces = face_count(photograph.expected)
        if 1 <= faces <= _MOST_FACES:
            by_faces[faces].append(photograph)
    random = np.random.default_rng(seed)
    shuffled = {faces: [same[i] for i in random.permutation(len(same))] for faces, same in sorted(by_faces.items())}
    return list(_in_turn(list(shuffled.values())))[:count]


def _in_turn(lists: Sequence[list[Photograph]]) -> Iterator[Photograph]:
    """Yield one item of each list in turn until all are exhausted."""
    for index in range(max(map(len, lists), default=0)):
        yield from (items[index] for items in lists if index < len(items))


def compose(people: Sequence[int], seed: int) -> list[Photograph]:
    """Return one group image for each number of people, all of the same size."""
    return predict([(f"composed, {count} people", _group(count, seed)) for count in people])


def predict(images: Sequence[tuple[str, bytes]]) -> list[Photograph]:
    """Return photographs with the models' predictions."""
    pipeline = Pipeline()
    return [Photograph(name, data, pipeline.analyze(data)) for name, data in images]


def _group(people: int, seed: int) -> bytes:
    """Return a JPEG of that many copies of the portrait, with varying brightness, every other one mirrored."""
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
