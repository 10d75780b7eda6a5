"""What every result file says of its making: the command to repeat, the data's digest, the commit, the machine."""

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
"""A command's options by name, such as `--data`; None and False were not given, True is a flag, a list is repeated."""


def of_model(entry: Entry) -> dict[str, str]:
    """Return which weights a result is of."""
    return {"model": entry.spec.name, "version": entry.spec.version, "digest": entry.digest}


def of_run(program: str, options: Options, data: Sequence[Path] = ()) -> dict[str, object]:
    """Return the command, the commit and, where data was read, its files' names and SHA-256."""
    files = [{"file": path.name, "sha256": sha256(path)} for path in data]
    return {
        **({"data": files[0] if len(files) == 1 else files} if files else {}),
        "command": command(program, options),
        "commit": commit(),
    }


def machine() -> dict[str, str | int]:
    """Return what times depend on: the processor, and the version of ONNX Runtime; every time is of one thread."""
    return {"processor": _processor(), "threads": 1, "onnxruntime": onnxruntime.__version__}


def command(program: str, options: Options) -> str:
    """Return the command to repeat; `program` is a script of the repository, or a module of this package.

    Paths of the repository are told from its root; any other absolute path shrinks to its last part, so that no
    machine's folders show.
    """
    words = ["python", program] if program.endswith(".py") else ["python", "-m", program]
    for option, value in options.items():
        if value is True:
            words.append(option)
        elif value is not None and value is not False:
            for item in value if isinstance(value, list) else [value]:
                words += [option, _told(item) if isinstance(item, Path) else str(item)]
    return shlex.join(words)


def sha256(path: Path) -> str:
    """Return a file's digest, in hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def commit() -> str | None:
    """Return the commit that this file belongs to, or None outside a repository or without git."""
    try:
        told = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return told.stdout.strip()


def text(result: Mapping[str, object]) -> str:
    """Return a result as the text of its file."""
    return json.dumps(result, indent=2) + "\n"


def write(texts: Mapping[Path, str]) -> None:
    """Write all files or none: each beside its place first, then moved there in one step."""
    partial = {path: path.with_name(f".{path.name}.{os.getpid()}.partial") for path in texts}
    try:
        for path, content in texts.items():
            partial[path].write_text(content, encoding="utf-8")
        for path, part in partial.items():
            part.replace(path)
    finally:
        for part in partial.values():
            part.unlink(missing_ok=True)


def _told(path: Path) -> str:
    if not path.is_absolute():
        return str(path)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else "unknown"
