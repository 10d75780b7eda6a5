"""Corrupt images at random, and analyze them in a process of their own.

    python -m tests.mutations SEED COUNT FOLDER [PHOTOGRAPH...]

Prints, as JSON, how often each outcome came and how far memory grew. The file under way is `FOLDER/last`: should the
process crash, that is the one that did it.
"""

import asyncio
import json
import random
import resource
import sys
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from PIL import Image

import mien
from mien.v1 import face_service_pb2 as pb
from mien_models.images.formats import FORMATS
from mien_orchestrator.build import make_executor, make_inline_service
from mien_orchestrator.settings import Settings
from tests.backends import within
from tests.photographs import EXAMPLE, encoded

MAX_PIXELS = 4_000_000
"""The setting that bounds memory: a corrupt header may claim any size."""


def seeds() -> list[bytes]:
    """Return the example in each supported format and mode."""
    with Image.open(EXAMPLE) as file:
        picture = file.convert("RGB").resize((160, 160))
    tags = Image.Exif()
    tags[0x0112] = 6
    files = [EXAMPLE.read_bytes(), encoded(picture, "JPEG", progressive=True, exif=tags)]
    files += [encoded(picture.convert(mode), "JPEG") for mode in ("L", "CMYK")]
    files += [encoded(picture.convert(mode), "PNG") for mode in ("RGB", "L", "P", "RGBA", "LA", "1", "I;16")]
    files += [encoded(picture.convert(mode), "TIFF") for mode in ("RGB", "L", "CMYK", "I;16")]
    files += [encoded(picture, "TIFF", compression=kind) for kind in ("tiff_lzw", "tiff_adobe_deflate", "jpeg")]
    files += [encoded(picture, "WEBP", lossless=lossless, exif=tags) for lossless in (False, True)]
    files += [encoded(picture, "GIF", save_all=True, append_images=[picture.rotate(9)]), encoded(picture, "BMP")]
    return files + ([encoded(picture, "HEIF")] if "HEIF" in FORMATS else [])


def _flip(data: bytearray, chance: random.Random, other: bytes) -> None:
    for _ in range(chance.choice((1, 3, 30))):
        data[chance.randrange(len(data))] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))


def _corrupt_header(data: bytearray, chance: random.Random, other: bytes) -> None:
    at = chance.randrange(min(len(data), 120))
    data[at : at + 4] = chance.choice((bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0\0\x40\0", chance.randbytes(4)))


def _cut(data: bytearray, chance: random.Random, other: bytes) -> None:
    del data[chance.randrange(1, len(data)) :]


def _leave_out(data: bytearray, chance: random.Random, other: bytes) -> None:
    at = chance.randrange(len(data))
    del data[at : at + chance.choice((1, 16, 1000))]


def _put_in(data: bytearray, chance: random.Random, other: bytes) -> None:
    at = chance.randrange(len(data))
    data[at:at] = chance.randbytes(chance.choice((1, 16, 1000)))


def _repeat(data: bytearray, chance: random.Random, other: bytes) -> None:
    at = chance.randrange(len(data))
    data[at:at] = data[at : at + chance.choice((4, 64, 2000))] * 3


def _join(data: bytearray, chance: random.Random, other: bytes) -> None:
    data[chance.randrange(1, len(data)) :] = other[chance.randrange(len(other)) :]


MUTATIONS: tuple[Callable[[bytearray, random.Random, bytes], None], ...] = (
    _flip,
    _corrupt_header,
    _cut,
    _leave_out,
    _put_in,
    _repeat,
    _join,
)


def mutated(files: list[bytes], chance: random.Random) -> bytes:
    """Return one of the files, corrupted in one to three ways."""
    data = bytearray(chance.choice(files))
    for mutation in chance.choices(MUTATIONS, k=chance.choice((1, 1, 2, 3))):
        if data:
            mutation(data, chance, chance.choice(files))
    return bytes(data)


async def outcomes(files: list[bytes], seed: int, count: int, last: Path) -> tuple[Counter[str], float]:
    """Analyze `count` corrupt files; return the number of each outcome, and the growth of peak memory in MiB."""
    settings = Settings.load({"limits.max_image_pixels": MAX_PIXELS})
    chance, found = random.Random(seed), Counter[str]()
    with make_executor(settings) as seeing, make_executor(settings) as computing:
        service = make_inline_service(settings, seeing, computing, pb.DEPLOYMENT_MODE_EMBEDDED)
        for file in files:  # valid ones first, so that later growth is caused by corrupt ones
            await _outcome(service.analyze(pb.AnalyzeRequest(image=file), within(60)))
        before = _peak_mib()
        for _ in range(count):
            data = mutated(files, chance)
            last.write_bytes(data)  # noqa: ASYNC240  # nothing else is under way
            found[await _outcome(service.analyze(pb.AnalyzeRequest(image=data), within(60)))] += 1
        return found, _peak_mib() - before


async def _outcome(call: Awaitable[pb.AnalyzeResponse]) -> str:
    try:
        reply = await call
    except mien.ImageError as error:
        return error.reason
    return "faces" if reply.faces else "no face"


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(seed: str, count: str, folder: str, *photographs: str) -> None:
    """Print the outcomes and the growth."""
    warnings.simplefilter("ignore")  # Pillow's, of broken metadata
    files = [Path(photograph).read_bytes() for photograph in photographs] or seeds()
    found, grown = asyncio.run(outcomes(files, int(seed), int(count), Path(folder) / "last"))
    print(json.dumps({"outcomes": found, "grown_mib": round(grown, 1)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
