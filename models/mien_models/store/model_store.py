"""The model store: a user folder that the registry reads after the package's models."""

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from mien_models.catalog import PUBLISHED, YUNET, Published, find
from mien_models.errors import ModelError
from mien_models.registry import Registry
from mien_models.store.download import download

TRAINED_DETECTORS = "detectors"
"""Folder, in the store, of detectors trained here; the registry reads only models of faces."""


def default_folder() -> Path:
    """Return the user's cache folder for models, by the XDG base directory specification."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (cache if cache.is_absolute() else Path(os.path.expanduser("~"), ".cache")) / "mien" / "models"


class ModelStore:
    """A folder of models, created when the first one is installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def exists(self) -> bool:
        """Return whether the folder exists; False also if this user may not read it."""
        return os.path.isdir(self.folder)  # `Path.is_dir` raises if a parent folder is not readable

    def registry(self, folders: Sequence[Path] = ()) -> Registry:
        """Return the models of the package, of this store and of further folders; later ones win.

        Raises:
            ModelError: A folder is missing, or contains an invalid specification.

        """
        return Registry([*([self.folder] if self.exists() else []), *folders])

    def detector_file(self, name: str) -> Path | None:
        """Return the file in the store that the detector `name` loads, or None."""
        path = {"mien": self.folder / TRAINED_DETECTORS / "mien.json", "yunet": self.folder / YUNET.file}.get(name)
        return path if path and os.path.isfile(path) else None

    def has(self, published: Published) -> bool:
        """Return whether a published file is installed."""
        return os.path.isfile(self.folder / published.file)

    def import_file(self, path: Path, name: str, *, any_file: bool = False) -> Path:
        """Install a published file from this machine; return the ONNX file in the store.

        `any_file` also accepts another Keras file of the same network, such as one trained further. Raises
        `ModelError`, and `ImportError` if h5py, onnx or torch is missing.
        """
        published = find(name)
        digest = _digest(path)
        if digest != published.sha256:
            if not (any_file and published.spec):
                raise ModelError(_wrong(published, path, digest))
            published = _unpublished(published, digest)
        self.add(lambda folder: _convert(published, path, folder))
        return self.folder / published.file

    def add(self, write: Callable[[Path], object]) -> None:
        """Move all files that `write` puts into the given folder into the store; all of them or, if it fails, none.

        Raises `ModelError` if the store is not writable, and any error of `write`.
        """
        with self._scratch() as folder:
            write(folder)
            # The specification is moved last, so that no registry finds one without its weights.
            for part in sorted(folder.iterdir(), key=lambda part: part.suffix == ".json"):
                part.replace(self.folder / part.name)

    def fetch(self, name: str, *, url: str | None = None) -> Path:
        """Download a published file, from `url` or its published address, and install it.

        Raises `ModelError`, and `ImportError` if h5py, onnx or torch is missing.
        """
        published = find(name)
        with self._scratch() as folder:
            path = folder / published.url.rpartition("/")[2]
            download(published, path, url=url)
            return self.import_file(path, name)

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """Yield a temporary folder inside the store, from which files can be moved atomically."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=self.folder, prefix=".partial-") as folder:
                yield Path(folder)
        except OSError as error:
            raise ModelError(f"model store {self.folder}: {error.strerror or error}") from error


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error


def _wrong(published: Published, path: Path, digest: str) -> str:
    for other in PUBLISHED.values():
        if other.sha256 == digest:
            return f"{path} is the published file of {other.name}, not of {published.name}: import it as {other.name}"
    hint = "; --any-file imports it anyway" if published.spec else ""
    return (
        f"{path} is not the file published for {published.name} (SHA-256 {digest} instead of {published.sha256}){hint}"
    )


def _unpublished(published: Published, digest: str) -> Published:
    """Return the entry with a specification that marks the file as not the published one."""
    if published.spec is None:
        return published
    summary = f"{published.spec.architecture} from a local file, not the published one."
    spec = published.spec.model_copy(update={"version": f"0+{digest[:12]}", "summary": summary})
    return dataclasses.replace(published, spec=spec)


def _convert(published: Published, path: Path, folder: Path) -> None:
    if published.spec is None:
        shutil.copyfile(path, folder / published.file)
        return
    # Imported here: they import torch, which serving does not need.
    from mien_models.export.model import write
    from mien_models.store.keras_import import read_net

    write(published.spec, read_net(path, published.spec), folder)
