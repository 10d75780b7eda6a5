"""Write annotated pictures: one file, or a folder of them, never half a file."""

from pathlib import Path

from PIL import Image

from mien.draw import draw
from mien.errors import InvalidRequestError
from mien.request import ImageSource
from mien.result import Analysis
from mien.sources import SUFFIXES, Source


class Annotator:
    """Writes the pictures of one run; `target` is a file for a single image, else a folder."""

    def __init__(self, target: Path, count: int) -> None:
        """Raises `InvalidRequestError` where several pictures are to go into one file."""
        self._file = target if target.suffix.lower() in SUFFIXES and not target.is_dir() else None
        if self._file and count > 1:
            raise InvalidRequestError(f"{count} pictures do not go into one file; name a folder after --annotate")
        self._folder = target.parent if self._file else target
        self._names: set[str] = set()

    def write(self, source: Source, image: ImageSource, analysis: Analysis) -> Path:
        """Write one annotated picture and return its path; raises `InvalidRequestError` where it cannot be written."""
        path = self._file or self._folder / self._name(source)
        partial = path.with_name(f".{path.name}.partial")
        picture = Image.fromarray(draw(image, analysis))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            picture.save(partial, format=Image.registered_extensions()[path.suffix.lower()], quality=92)
            partial.replace(path)
        except OSError as error:
            if partial.exists():
                partial.unlink()
            raise InvalidRequestError(f"cannot write {path}: {error.strerror or error}") from error
        return path

    def _name(self, source: Source) -> str:
        """Return a file name that no other picture of this run has."""
        stem = source.path.stem if source.path else "stdin"
        name, number = f"{stem}.annotated.jpg", 2
        while name in self._names:
            name, number = f"{stem}-{number}.annotated.jpg", number + 1
        self._names.add(name)
        return name
