"""Write annotated pictures: one file, or a folder of them, never half a file."""

import os
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from mien.cli.sources import ANNOTATED, Source
from mien.draw import annotated_picture
from mien.errors import MACHINE_ERRORS, FileError, InvalidRequestError
from mien.images import ImageSource
from mien.types.analysis import Analysis

_WRITTEN = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}


_LONGEST_STEM = 220
"""Bytes of a photograph's name that go into the picture's name: file systems allow 255, endings included."""


class Annotator:
    """Writes the pictures of one run; `target` is a file for a single image, else a folder."""

    def __init__(self, target: Path, sources: Sequence[Source]) -> None:
        """Raises `InvalidRequestError` if a picture would overwrite a photograph, or several go into one file."""
        self._lock = Lock()  # one picture at a time: a photograph of 33 megapixels takes 100 MB per copy
        if target.suffix and not target.is_dir():
            self._places = self._file(target, sources)
        else:
            self._places = dict(zip(sources, (target / name for name in _names(sources)), strict=True))
        for source, place in self._places.items():
            if source.path and os.path.exists(source.path) and place.exists() and place.samefile(source.path):
                raise InvalidRequestError(f"{place} is the photograph itself; name another file after --annotate")

    def _file(self, target: Path, sources: Sequence[Source]) -> dict[Source, Path]:
        if target.suffix.lower() not in _WRITTEN:
            raise InvalidRequestError(f"{target}: pictures are written as {', '.join(_WRITTEN)}, or into a folder")
        if len(sources) > 1:
            raise InvalidRequestError(f"{len(sources)} pictures do not go into one file; name a folder")
        return {sources[0]: target}

    def write(self, source: Source, image: ImageSource, analysis: Analysis) -> Path:
        """Write one annotated picture and return its path; raises `MienError` if it cannot be drawn or written."""
        path = self._places[source]
        partial = path.with_name(f".{path.name}.partial")
        try:
            with self._lock:
                picture = annotated_picture(image, analysis)
                path.parent.mkdir(parents=True, exist_ok=True)
                picture.save(partial, format=_WRITTEN[path.suffix.lower()], quality=92)
            partial.replace(path)
        except OSError as error:
            _remove(partial)
            kind = FileError if error.errno in MACHINE_ERRORS else InvalidRequestError
            raise kind(f"cannot write {path}: {error.strerror or error}") from error
        except MemoryError as error:
            _remove(partial)
            raise FileError(f"cannot draw {path}: out of memory") from error
        return path


def _remove(partial: Path) -> None:
    if os.path.exists(partial):
        partial.unlink()


def _names(sources: Sequence[Source]) -> list[str]:
    """Return a file name for each source, in their order, no two alike."""
    names: dict[str, None] = {}
    for source in sources:
        stem = source.path.stem if source.path else "stdin"
        stem = (
            os.fsencode(stem)[:_LONGEST_STEM].decode(errors="ignore")
            if len(os.fsencode(stem)) > _LONGEST_STEM
            else stem
        )
        name, number = f"{stem}{ANNOTATED}", 2
        while name in names:
            name, number = f"{stem}-{number}{ANNOTATED}", number + 1
        names[name] = None
    return list(names)
