"""Evaluate models: metrics, robustness and cost; then regenerate the cards, the README's table and the comparison.

Run from the repository's root:

    python -m mien_training.evaluation.judge --data ../shared/data
    python -m mien_training.evaluation.judge --data ../shared/data --model mien-emotion

Without --model all models of the package are evaluated, and of the model store every published network and every
network that has a recipe. The specifications of the latter are kept beside their results.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from mien_models.catalog import PUBLISHED
from mien_models.errors import ModelError
from mien_models.registry import Entry, Registry
from mien_models.spec import Task
from mien_training import installation
from mien_training.evaluation import cost, evaluate, robustness
from mien_training.faces.recipes import RECIPES
from mien_training.reports import cards, comparison
from mien_training.results import collection, provenance

_LABELLED: dict[Task, tuple[str, ...]] = {
    "age": ("utkface", "fairface"),
    "gender": ("fairface", "utkface"),
    "emotion": ("fer2013",),
}
"""Data sets that label each task; robustness is measured on the first."""

_AUTHORS_SCALE = 1.8
"""Crop width on which the published age and gender networks (IMDB, WIKI, MORPH) were trained.

Their crops add 40 % of the face box on each side. On these chips, with edges repeated, the networks tried at this
width did better than at 1.4 or on the plain chip. The published emotion network was trained on FER2013's images and is
evaluated on them unchanged.
"""


def main(
    data: Annotated[Path, typer.Option(help="Folder with the labelled zips; see models/training/README.md.")],
    model: Annotated[list[str] | None, typer.Option(help="Model to evaluate; may be repeated.")] = None,
) -> None:
    """Write the result files of models and all documents generated from result files."""
    try:
        for entry in _chosen(model):
            for step in _steps(entry, data):
                typer.echo(f"{entry.spec.name}: {step}")
            if entry.spec.name in RECIPES and entry not in Registry().entries():
                entry.spec.write(collection.SPECS / f"{entry.spec.name}.json")
    except ModelError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo("cost of every model")
    cost.main(out=provenance.RESULTS / "cost.json")
    provenance.write(cards.documents() | comparison.documents())


def _chosen(names: list[str] | None) -> list[Entry]:
    models = installation.registry()
    ours = {entry.spec.name: entry for entry in Registry().entries()}
    judged = {*ours, *PUBLISHED, *RECIPES}
    chosen = names or [entry.spec.name for entry in models.entries() if entry.spec.name in judged]
    entries = [models.get(name) for name in chosen]
    for entry in entries:
        if entry.spec.name in ours and entry != ours[entry.spec.name]:
            raise ModelError(
                f"the model store or a model folder has another {entry.spec.name} than the package, and these results "
                "would be of those weights: set MIEN_MODEL_STORE to another store or put those weights into the package"
            )
    return entries


def _steps(entry: Entry, data: Path) -> Iterator[str]:
    """Write a model's result files; yield the name of each step before it runs."""
    name = entry.spec.name
    published = name in PUBLISHED
    zips = dict.fromkeys(zip_name for task in entry.spec.heads for zip_name in _LABELLED[task])
    for zip_name in zips:
        yield zip_name
        evaluate.main(
            data=data / f"{zip_name}.zip",
            model=name,
            split="val",
            out=provenance.RESULTS / f"{name}.{zip_name}.json",
            scale=_AUTHORS_SCALE if published and "emotion" not in entry.spec.heads else None,
        )
    yield "robustness"
    robustness.main(
        model=name,
        data=data / f"{next(iter(zips))}.zip",
        out=provenance.RESULTS / f"{name}.stability.json",
    )


if __name__ == "__main__":
    typer.run(main)
