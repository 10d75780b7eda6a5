"""Find the images that the arguments of a command line refer to."""

import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mien.errors import ImageError, InvalidRequestError, MienError

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp"),
    *(".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif"),
)
"""Suffixes of image files in a folder; a file passed by name is always read."""

STDIN = "-"

ANNOTATED = ".annotated.jpg"
"""Suffix of annotated images, which are skipped in folders."""

_URL = re.compile(r"data:|[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class Source:
    """An image to analyze, or a path that cannot be listed."""

    name: str
    """Name in messages, and `source` in JSON."""
    path: Path | None
    """None for standard input."""
    error: MienError | None = field(default=None, compare=False)
    """Error of a path that cannot be read; None if it can."""

    def read(self) -> str | bytes:
        """Return the path, or the bytes of standard input; raises `error`."""
        if self.error:
            raise self.error
        return self.name if self.path else sys.stdin.buffer.read()


def find(names: Sequence[str]) -> list[Source]:
    """Return the images of files, folders (recursively), glob patterns and `-`, each once, in order.

    Hidden files and folders (`.name`, and so macOS's `._name.jpg`) inside a folder are skipped. A path that is missing,
    a folder that cannot be listed and a folder or pattern without images are in the list with their error.

    Raises:
        InvalidRequestError: none of the names leads to an image.

    """
    sources = list(dict.fromkeys(source for name in names for source in _sources(name)))
    errors = [source.error for source in sources if source.error]
    if len(errors) == len(sources) and not any(isinstance(error, ImageError) for error in errors):
        raise errors[0]
    return sources


def _sources(name: str) -> Iterator[Source]:
    if not name:
        raise InvalidRequestError("an image's path is empty; is a shell variable unset?")
    if name == STDIN:
        yield Source(STDIN, None)
    elif _URL.match(name):
        yield Source(name, Path(name))  # the SDK rejects it with an explanation
    elif os.path.isdir(name):
        yield from _or_empty(_folder(name), name, f"folder {name} holds no images ({', '.join(SUFFIXES)})")
    elif not os.path.lexists(name) and glob.has_magic(name):
        matches = (Path(match) for match in sorted(glob.glob(name, recursive=True)))
        images = (Source(str(path), path) for path in matches if _is_image(path))
        yield from _or_empty(images, name, f"no image matches {name}")
    else:
        yield Source(str(Path(name)), Path(name))


def _or_empty(sources: Iterable[Source], name: str, message: str) -> list[Source]:
    return list(sources) or [Source(name, Path(name), InvalidRequestError(message))]


def _folder(folder: str) -> Iterator[Source]:
    """Yield a folder's images in the order of their paths, and the folders that cannot be listed."""
    failed: list[OSError] = []
    found = []
    for parent, folders, files in os.walk(folder, onerror=failed.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(parent, name) for name in files if not name.startswith("."))
        found += [Source(str(path), path) for path in paths if _is_image(path)]
    for error in failed:
        name = str(error.filename)
        reason = f"cannot list the folder: {(error.strerror or str(error)).lower()}"
        found.append(Source(name, Path(name), ImageError(reason, reason="IMAGE_UNREADABLE")))
    yield from sorted(found, key=lambda source: source.path or Path())


def _is_image(path: Path) -> bool:
    """Return whether a path is an image by its name; one that has vanished counts, a pipe or a device does not."""
    named = path.suffix.lower() in SUFFIXES and not path.name.endswith(ANNOTATED)
    return named and (os.path.isfile(path) or not os.path.exists(path))
