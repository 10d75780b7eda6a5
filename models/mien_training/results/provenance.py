"""Record the provenance of result files: command, data digest, commit, machine."""

import hashlib
import json
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnxruntime

from mien_models.registry import Entry

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "models" / "results"

Options = Mapping[str, str | int | float | Path | bool | list[str] | None]
"""A command's options by name, such as `--data`; None and False are omitted, True is a flag, a list is repeated."""


def of_model(entry: Entry) -> dict[str, str]:
    """Return the name, version and digest of the measured weights."""
    return {"model": entry.spec.name, "version": entry.spec.version, "digest": entry.digest}


def of_run(program: str, options: Options, data: Sequence[Path] = ()) -> dict[str, object]:
    """Return the command, the commit and, if data was read, its files' names and SHA-256."""
    files = [{"file": path.name, "sha256": sha256(path)} for path in data]
    return {
        **({"data": files[0] if len(files) == 1 else files} if files else {}),
        "command": command(program, options),
        "commit": commit(),
    }


def machine() -> dict[str, str | int]:
    """Return the processor and the version of ONNX Runtime; all times are of one thread."""
    return {"processor": _processor(), "threads": 1, "onnxruntime": onnxruntime.__version__}


def command(program: str, options: Options) -> str:
    """Return the command to repeat a run; `program` is a script of the repository or a module of this package.

    Paths in the repository are relative to its root; other absolute paths are shortened to their last component, so
    that no machine's folders are published.
    """
    words = ["python", program] if program.endswith(".py") else ["python", "-m", program]
    for option, value in options.items():
        if value is True:
            words.append(option)
        elif value is not None and value is not False:
            for item in value if isinstance(value, list) else [value]:
                words += [option, _path_text(item) if isinstance(item, Path) else str(item)]
    return shlex.join(words)


def sha256(path: Path) -> str:
    """Return a file's SHA-256, in hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def commit() -> str | None:
    """Return the commit that this file belongs to, or None outside a repository or without git."""
    try:
        completed = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return completed.stdout.strip()


def text(result: Mapping[str, object]) -> str:
    """Serialise a result as the text of its file."""
    return json.dumps(result, indent=2) + "\n"


def write(texts: Mapping[Path, str]) -> None:
    """Write all files or none: write each to a temporary file, then move them all into place."""
    partial = {path: path.with_name(f".{path.name}.{os.getpid()}.partial") for path in texts}
    try:
        for path, content in texts.items():
            partial[path].write_text(content, encoding="utf-8")
        for path, part in partial.items():
            part.replace(path)
    finally:
        for part in partial.values():
            part.unlink(missing_ok=True)


def _path_text(path: Path) -> str:
    if not path.is_absolute():
        return str(path)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else "unknown"
