"""Write annotated images atomically, to one file or to a folder."""

import os
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from mien.cli.sources import ANNOTATED, Source
from mien.drawing.draw import annotated_picture
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
"""Maximum length of a file name without its suffix, in bytes: file systems allow 255 with it."""


class Annotator:
    """Writes the annotated images of one run. `target` is a file for a single image, otherwise a folder."""

    def __init__(self, target: Path, sources: Sequence[Source]) -> None:
        """Raises `InvalidRequestError` if an annotated image would overwrite its source, or several share one file."""
        self._lock = Lock()  # one image at a time: an image of 33 megapixels takes 100 MB per copy
        if target.suffix and not target.is_dir():
            self._places = self._file(target, sources)
        else:
            self._places = dict(zip(sources, (target / name for name in _names(sources)), strict=True))
        for source, place in self._places.items():
            if source.path and os.path.exists(source.path) and place.exists() and place.samefile(source.path):
                raise InvalidRequestError(f"{place} is the photograph itself; pass another file to --annotate")

    def _file(self, target: Path, sources: Sequence[Source]) -> dict[Source, Path]:
        if target.suffix.lower() not in _WRITTEN:
            raise InvalidRequestError(f"{target}: unsupported file type; use {', '.join(_WRITTEN)}, or a folder")
        if len(sources) > 1:
            raise InvalidRequestError(f"cannot write {len(sources)} images to one file; pass a folder")
        return {sources[0]: target}

    def write(self, source: Source, image: ImageSource, analysis: Analysis) -> Path:
        """Write one annotated image and return its path; raises `MienError` if it cannot be drawn or written."""
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
            no_folder = isinstance(error, FileExistsError | NotADirectoryError)
            nearest = next(parent for parent in path.parents if os.path.lexists(parent))
            cause = f"{nearest} is not a folder" if no_folder else error.strerror or error
            raise kind(f"cannot write {path}: {cause}") from error
        except MemoryError as error:
            _remove(partial)
            raise FileError(f"cannot draw {path}: out of memory") from error
        return path


def _remove(partial: Path) -> None:
    if os.path.exists(partial):
        partial.unlink()


def _names(sources: Sequence[Source]) -> list[str]:
    """Return a unique file name for each source, in the order of the sources."""
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
