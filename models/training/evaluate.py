"""Judge a shipped model as it is served: a labelled zip in, a result file and one line of answers a face out.

Run from the repository's root, for example:

    python models/training/evaluate.py --task emotion --data ../shared/data/fer2013.zip --split val --out result.json
"""

import csv
import hashlib
import io
import json
import os
import shlex
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from mien_models import runtime
from mien_models.registry import ANSWERS, TASKS, Entry, ModelError, Registry
from mien_models.spec import EMOTIONS, Task
from mien_training import metrics
from mien_training.dataset import DatasetError, FaceData, load

_BATCH = 64
_COST_BATCHES = (1, 8, 32)
_COST_REPEATS = 51

Answers = Mapping[str, NDArray[np.float32]]


def main(
    data: Annotated[Path, typer.Option(help="Zip of faces with a labels.csv; see models/training/README.md.")],
    model: Annotated[str | None, typer.Option(help="Model to judge, in all its tasks.")] = None,
    task: Annotated[Task | None, typer.Option(help="Task whose default model is judged, in this task alone.")] = None,
    split: Annotated[str, typer.Option(help="Rows to judge on; 'all' takes every row.")] = "all",
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="Result file; else standard output.")] = None,
    predictions: Annotated[Path | None, typer.Option(dir_okay=False, help="CSV file of the answers.")] = None,
    cost: Annotated[bool, typer.Option("--cost", help="Measure size and time too; slow.")] = False,
) -> None:
    """Evaluate a shipped model through ONNX Runtime; name exactly one of --model and --task."""
    if (model is None) == (task is None):
        raise typer.BadParameter("name exactly one of --model and --task")
    _check_paths(data, [path for path in (out, predictions) if path])
    options = {
        "--model": model,
        "--task": task,
        "--data": data,
        "--split": split,
        "--out": out,
        "--predictions": predictions,
    }
    try:
        entry, tasks = _choose(model, task)
        faces = load(data, split=split, size=entry.spec.crop.size)
        answers = predict(entry, tasks, faces.images)
        result = {
            "model": entry.spec.name,
            "version": entry.spec.version,
            "digest": entry.digest,
            "tasks": tasks,
            "data": {"file": data.name, "sha256": _sha256(data)},
            "split": split,
            "n": len(faces),
            "command": _command(options, cost=cost),
            "commit": _commit(),
            "metrics": measure(tasks, answers, faces) | ({"cost": measure_cost(entry, tasks)} if cost else {}),
        }
        report = json.dumps(result, indent=2) + "\n"
        _write(
            ({out: report} if out else {}) | ({predictions: table(faces.files, answers)} if predictions else {}),
        )
    except (DatasetError, ModelError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    if not out:
        typer.echo(report, nl=False)


def predict(entry: Entry, tasks: Sequence[Task], crops: NDArray[np.uint8]) -> Answers:
    """Answer (N, S, S, 3) uint8 RGB crops with all `ANSWERS` of the tasks, first axis N."""
    batches = np.array_split(crops, 1 + (len(crops) - 1) // _BATCH)
    answers: dict[str, NDArray[np.float32]] = {}
    for task in tasks:
        served = runtime.load(entry, task)
        parts = [served.predict(batch) for batch in batches]
        answers |= {name: np.concatenate([part[name] for part in parts]) for name in ANSWERS[task]}
    return answers


def measure(tasks: Sequence[Task], answers: Answers, faces: FaceData) -> dict[str, metrics.Figures]:
    """Return each task's figures; empty where the faces carry no label of the task."""
    measures = {
        "age": lambda: metrics.age(answers["years"], answers["low"], answers["high"], faces),
        "gender": lambda: metrics.gender(answers["p_male"], faces),
        "emotion": lambda: metrics.emotion(answers["probabilities"], faces),
    }
    return {task: measures[task]() for task in tasks}


def measure_cost(entry: Entry, tasks: Sequence[Task]) -> metrics.Figures:
    """Return parameters, bytes, and for each task the median milliseconds a call takes at each batch size."""
    return {
        "parameters": entry.spec.parameters,
        "bytes": entry.spec.weights.bytes if entry.spec.weights else None,
        "threads": 1,
        "milliseconds": {
            task: {str(batch): _milliseconds(runtime.load(entry, task), batch) for batch in _COST_BATCHES}
            for task in tasks
        },
    }


def _milliseconds(served: runtime.Model, batch: int) -> float:
    size = served.entry.spec.crop.size
    crops = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), np.uint8)
    served.predict(crops)
    seconds = []
    for _ in range(_COST_REPEATS):
        started = time.perf_counter()
        served.predict(crops)
        seconds.append(time.perf_counter() - started)
    return round(statistics.median(seconds) * 1000, 3)


def table(files: Sequence[str], answers: Answers) -> str:
    """Write the answers as CSV, one line a face, with the columns that the tasks have."""
    columns: dict[str, Sequence[object]] = {"file": files}
    if "probabilities" in answers:
        shares = answers["probabilities"].T
        columns |= {f"p_{name}": _text(share, 6) for name, share in zip(EMOTIONS, shares, strict=True)}
    if "p_male" in answers:
        columns["p_male"] = _text(answers["p_male"], 6)
    if "years" in answers:
        named = {"age": "years", "age_low": "low", "age_high": "high"}
        columns |= {column: _text(answers[name], 3) for column, name in named.items()}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def _text(values: NDArray[np.float32], digits: int) -> list[str]:
    return [f"{value:.{digits}f}" for value in values.tolist()]


def _choose(model: str | None, task: Task | None) -> tuple[Entry, list[Task]]:
    registry = Registry()
    if task:
        return registry.for_task(task), [task]
    entry = registry.get(model or "")
    return entry, [task for task in TASKS if task in entry.spec.heads]


def _check_paths(data: Path, outputs: Sequence[Path]) -> None:
    if len({path.resolve() for path in (data, *outputs)}) <= len(outputs):
        raise typer.BadParameter("--data, --out and --predictions must be different files")
    for path in outputs:
        if not path.parent.is_dir():
            raise typer.BadParameter(f"folder {path.parent} does not exist")


def _command(options: Mapping[str, str | Path | None], *, cost: bool) -> str:
    """Return the command to repeat; an absolute path shrinks to its last part, so that no machine's folders show."""
    words = ["python", "models/training/evaluate.py"]
    for option, value in options.items():
        if value is not None:
            words += [option, value.name if isinstance(value, Path) and value.is_absolute() else str(value)]
    return shlex.join([*words, "--cost"] if cost else words)


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _commit() -> str | None:
    """Return the commit that this file belongs to, or None outside a repository or without git."""
    try:
        command = ["git", "rev-parse", "HEAD"]
        told = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return told.stdout.strip()


def _write(texts: Mapping[Path, str]) -> None:
    """Write all files or none: each beside its place first, then moved there in one step."""
    partial = {path: path.with_name(f".{path.name}.{os.getpid()}.partial") for path in texts}
    try:
        for path, text in texts.items():
            partial[path].write_text(text, encoding="utf-8")
        for path, part in partial.items():
            part.replace(path)
    finally:
        for part in partial.values():
            part.unlink(missing_ok=True)


if __name__ == "__main__":
    typer.run(main)
