"""The registry of installed models: find the specification and weights of a model by name or task."""

import hashlib
import logging
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from mien_models.errors import ModelError
from mien_models.spec import ModelSpec, Task, Weights

TASKS: tuple[Task, ...] = ("age", "gender", "emotion")
"""All tasks, in the order of replies."""

ANSWERS: dict[Task, tuple[str, ...]] = {
    "age": ("years", "low", "high"),
    "gender": ("p_male",),
    "emotion": ("probabilities",),
}
"""The names of a model's output arrays for each task."""

DEFAULTS: dict[Task, str] = {"age": "mien-age-gender", "gender": "mien-age-gender", "emotion": "mien-emotion"}
"""The default model of each task."""

_log = logging.getLogger(__name__)

_OWN = Path(__file__).parent / "weights"

_INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"})
"""Linux's names of the instruction sets with 8-bit integer dot products."""

_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of the registry: its specification and the path of its ONNX file in float32."""

    spec: ModelSpec
    path: Path

    @property
    def weights(self) -> Weights | None:
        """The file that ONNX Runtime uses on this processor: INT8 if it exists and the processor is fast at it."""
        return self.spec.int8 if self.spec.int8 and fast_int8() else self.spec.weights

    @property
    def whole(self) -> "Entry":
        """The model with only its float32 file, as PyTorch uses it."""
        return replace(self, spec=self.spec.model_copy(update={"int8": None}))

    @property
    def digest(self) -> str:
        """SHA-256 of the file in use, as `sha256:` and hexadecimal digits; see `weights`."""
        return f"sha256:{self.weights.sha256 if self.weights else ''}"

    def read(self) -> bytes:
        """Return the bytes of the file in use; raises `ModelError` if they are not those of the specification."""
        weights = self.weights
        path = self.path.parent / weights.file if weights else self.path
        if weights is None or not path.is_file():
            raise ModelError(f"model {self.spec.name}: {path.name} is missing beside its specification")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != weights.sha256:
            raise ModelError(
                f"model {self.spec.name}: {path.name} is damaged or was changed (its SHA-256 differs from the "
                "specification's); reinstall mien or export the model again"
            )
        return content


class Registry:
    """Models by name, from the package's own folder and any further ones; later folders win."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        """Read the specifications of all folders.

        An invalid one is skipped with a warning, so that it does not stop the server; it is an error once its model is
        requested.

        Args:
            folders: Folders with further models; of two models with one name, that of the later folder is used.

        Raises:
            ModelError: A folder does not exist.

        """
        self._entries: dict[str, Entry] = {}
        self._invalid: dict[str, ModelError] = {}
        for folder in (_OWN, *folders):
            if not folder.is_dir():
                raise ModelError(f"model folder {folder} does not exist")
            for path in sorted(folder.glob("*.json")):
                try:
                    entry = read_entry(path)
                except ModelError as error:
                    self._invalid[path.stem] = error
                    _warn(f"{error.message}; the model is not available")
                else:
                    self._entries[entry.spec.name] = entry

    def entries(self) -> list[Entry]:
        """Return all models, by name."""
        return [self._entries[name] for name in sorted(self._entries)]

    def get(self, name: str) -> Entry:
        """Return a model by name.

        Raises:
            ModelError: There is no such model, or its specification is invalid.

        """
        if name in self._invalid and name not in self._entries:
            raise self._invalid[name]
        if name not in self._entries:
            raise ModelError(
                f"unknown model {name!r}; available: {', '.join(sorted(self._entries))}; "
                "`mien models list` lists those that can be fetched or trained"
            )
        return self._entries[name]

    def for_task(self, task: Task, name: str | None = None) -> Entry:
        """Return the model of a task.

        Args:
            task: The task.
            name: Name of a model; None for the task's default.

        Returns:
            The model's entry; its file has not been read.

        Raises:
            ModelError: There is no such model, or it does not answer the task.

        """
        entry = self.get(name or DEFAULTS[task])
        if task not in entry.spec.heads:
            able = [other.spec.name for other in self.entries() if task in other.spec.heads]
            raise ModelError(f"model {entry.spec.name!r} does not serve task {task!r}; these do: {', '.join(able)}")
        return entry


def read_entry(path: Path) -> Entry:
    """Return the model of a specification file.

    Raises:
        ModelError: The file cannot be read, or is not a specification.

    """
    spec = ModelSpec.read(path)
    file = spec.weights.file if spec.weights else f"{spec.name}.onnx"
    return Entry(spec, path.parent / file)


@cache
def _warn(message: str) -> None:
    """Log a warning once per process, even if several registries are created."""
    _log.warning("%s", message)


@cache
def fast_int8() -> bool:
    """Return whether the processor multiplies 8-bit integers faster than 32-bit floats; False if unknown."""
    if platform.system() == "Darwin":
        return platform.machine() == "arm64"
    try:
        text = _CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return has_int8_flags(text)


def has_int8_flags(cpu_info: str) -> bool:
    """Return whether a /proc/cpuinfo lists one of the instructions."""
    lines = (line.partition(":") for line in cpu_info.splitlines())
    words = {word for name, _, value in lines if name.strip() in ("flags", "Features") for word in value.split()}
    return bool(words & _INT8_FLAGS)
