"""From what a user names on the command line to the images that are meant."""

import glob
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.errors import InvalidRequestError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif")
"""Names that count as images inside a folder; a file named by itself is always tried."""

STDIN = "-"

ANNOTATED = ".annotated.jpg"
"""How the names of annotated pictures end; inside a folder they are not taken for photographs."""


@dataclass(frozen=True, slots=True)
class Source:
    """One image to analyze."""

    name: str
    """As it is told to the user, and as `source` in JSON."""
    path: Path | None
    """None for standard input."""

    def read(self) -> Path | bytes:
        """Return what the SDK takes: the path, or the bytes of standard input."""
        return self.path if self.path else sys.stdin.buffer.read()


def find(names: Sequence[str]) -> list[Source]:
    """Return the images of files, folders (with what is below them), glob patterns and `-`, each once, in order.

    A missing file stays in the list, so that the others are still analyzed. Raises `InvalidRequestError` where a folder
    or a pattern holds no image.
    """
    sources = [
        Source(STDIN, None) if path is None else Source(str(path), path) for name in names for path in _paths(name)
    ]
    return list(dict.fromkeys(sources))


def _paths(name: str) -> Iterator[Path | None]:
    path = Path(name)
    if not name:
        raise InvalidRequestError("an image's name is empty; is a variable unset?")
    if name == STDIN:
        yield None
    elif path.is_dir():
        yield from _images(path.rglob("*"), f"folder {name} holds no images ({', '.join(SUFFIXES)})")
    elif not path.exists() and glob.has_magic(name):
        found = (Path(match) for match in glob.glob(name, recursive=True))
        yield from _images(found, f"no image matches {name}")
    else:
        yield path


def _images(paths: Iterator[Path], empty: str) -> list[Path]:
    images = sorted(
        path
        for path in paths
        if path.suffix.lower() in SUFFIXES and not path.name.endswith(ANNOTATED) and path.is_file()
    )
    if not images:
        raise InvalidRequestError(empty)
    return images
