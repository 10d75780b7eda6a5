"""Evaluate a model as it is served: a labelled zip in, a result file and optional predictions per face out.

Run from the repository's root, for example:

    python models/training/evaluate.py --task emotion --data ../shared/data/fer2013.zip --split val --out result.json
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from mien_models import runtimes
from mien_models.errors import ModelError
from mien_models.registry import ANSWERS, TASKS, Entry
from mien_models.spec import EMOTIONS, Task
from mien_training import installation
from mien_training.evaluation import cost as costs
from mien_training.evaluation import recrop, uncalibrated
from mien_training.faces import metrics
from mien_training.faces.dataset import DatasetError, FaceData, load
from mien_training.results import provenance

_BATCH = 64

Answers = Mapping[str, NDArray[np.float32]]


def main(
    data: Annotated[Path, typer.Option(help="Zip of faces with a labels.csv; see models/training/README.md.")],
    model: Annotated[str | None, typer.Option(help="Model to evaluate, in all its tasks.")] = None,
    task: Annotated[Task | None, typer.Option(help="Task whose default model is evaluated, in this task only.")] = None,
    split: Annotated[str, typer.Option(help="Split to evaluate; 'all' uses every row.")] = "all",
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="Result file; default: standard output.")] = None,
    predictions: Annotated[Path | None, typer.Option(dir_okay=False, help="CSV file of the predictions.")] = None,
    scale: Annotated[
        float | None,
        typer.Option(min=0.1, help="Crop the chips again at this scale (heights of the face box), edges repeated."),
    ] = None,
    cost: Annotated[bool, typer.Option("--cost", help="Also measure size and time; slow.")] = False,
) -> None:
    """Evaluate a model of the package or the model store; give exactly one of --model and --task."""
    if (model is None) == (task is None):
        raise typer.BadParameter("give exactly one of --model and --task")
    _check_paths(data, [path for path in (out, predictions) if path])
    options: provenance.Options = {
        "--model": model,
        "--task": task,
        "--data": data,
        "--split": split,
        "--out": out,
        "--predictions": predictions,
        "--scale": scale,
        "--cost": cost,
    }
    try:
        entry, tasks = _choose(model, task)
        faces, crops = read(data, split, entry, scale)
        answers = predict(entry, tasks, crops)
        plain: dict[str, metrics.Metrics] = {
            name: measure(entry, [name], plain_answers, faces)[name]
            for name, plain_answers in uncalibrated.answers(entry, tasks, answers, crops).items()
        }
        compared_metrics = uncalibrated.compared(measure(entry, tasks, answers, faces), plain)
        result = {
            **provenance.of_model(entry),
            "tasks": tasks,
            "split": split,
            "n": len(faces),
            **({"scale": scale} if scale else {}),
            **provenance.of_run("models/training/evaluate.py", options, [data]),
            "metrics": compared_metrics | ({"cost": costs.measure(entry, tasks)} if cost else {}),
        }
        report = provenance.text(result)
        provenance.write(
            ({out: report} if out else {}) | ({predictions: table(faces.files, answers)} if predictions else {}),
        )
    except (DatasetError, ModelError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    if not out:
        typer.echo(report, nl=False)


def read(data: Path, split: str, entry: Entry, scale: float | None) -> tuple[FaceData, NDArray[np.uint8]]:
    """Return the faces and the model's crops: the chips resized, or cropped again at `scale`."""
    wanted = entry.spec.crop
    if scale is None:
        faces = load(data, split=split, size=wanted.size)
        return faces, faces.images
    framed = recrop.frame(data)
    faces = load(data, split=split, size=framed.size)
    return faces, recrop.cut_again(faces.images, framed, wanted.model_copy(update={"scale": scale}))


def predict(entry: Entry, tasks: Sequence[Task], crops: NDArray[np.uint8]) -> Answers:
    """Run a model on (N, S, S, 3) uint8 RGB crops; return all `ANSWERS` of the tasks, first axis N."""
    batches = np.array_split(crops, 1 + (len(crops) - 1) // _BATCH)
    answers: dict[str, NDArray[np.float32]] = {}
    for task in tasks:
        served = runtimes.load(entry, task)
        parts = [served.predict(batch) for batch in batches]
        answers |= {name: np.concatenate([part[name] for part in parts]) for name in ANSWERS[task]}
    return answers


def measure(entry: Entry, tasks: Sequence[Task], answers: Answers, faces: FaceData) -> dict[str, metrics.Metrics]:
    """Return the metrics of a model's tasks; empty if the faces have no label of the task."""
    uncertain_below = getattr(entry.spec.heads.get("gender"), "uncertain_below", None)
    measures = {
        "age": lambda: metrics.age(answers["years"], answers["low"], answers["high"], faces),
        "gender": lambda: metrics.gender(answers["p_male"], faces, uncertain_below),
        "emotion": lambda: metrics.emotion(answers["probabilities"], faces),
    }
    return {task: measures[task]() for task in tasks}


def table(files: Sequence[str], answers: Answers) -> str:
    """Format the predictions as CSV, one line per face, with the columns of the tasks."""
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
    models = installation.registry()
    if task:
        return models.for_task(task), [task]
    entry = models.get(model or "")
    return entry, [task for task in TASKS if task in entry.spec.heads]


def _check_paths(data: Path, outputs: Sequence[Path]) -> None:
    if len({path.resolve() for path in (data, *outputs)}) <= len(outputs):
        raise typer.BadParameter("--data, --out and --predictions must be different files")
    for path in outputs:
        if not path.parent.is_dir():
            raise typer.BadParameter(f"folder {path.parent} does not exist")
