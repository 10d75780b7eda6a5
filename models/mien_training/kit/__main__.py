"""Pack a kit on this machine; train it on a machine with a GPU.

python -m mien_training.kit pack emotion --data ../shared/data --out emotion.kit
python -m mien_training.kit train emotion.kit --out emotion-run --minutes 9
mien models train mien-emotion --data ../shared/data --runs emotion-run
"""

from pathlib import Path
from typing import Annotated

import typer

from mien_models.errors import MienError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def pack(
    name: Annotated[str, typer.Argument(help="emotion or age-gender.")],
    data: Annotated[Path, typer.Option(help="Folder with the labelled zips; see models/training/README.md.")],
    out: Annotated[Path, typer.Option(help="The kit to write.")],
) -> None:
    """Pack the faces and labels that a run needs into one file of at most 50 MiB."""
    from mien_training.kit.package import KitError, pack
    from mien_training.kit.recipes import KITS

    try:
        if name not in KITS:
            raise KitError(f"unknown kit {name!r}; available: {', '.join(KITS)}")
        size = pack(KITS[name], data, out)
    except MienError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{out}: {size / 2**20:.1f} MiB")


@app.command()
def train(
    kit: Annotated[Path, typer.Argument(help="A file that `pack` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for teachers, student and log; a run there is continued.")],
    minutes: Annotated[float, typer.Option(min=0.01, help="Time box, from start to end.")] = 9.0,
    compiled: Annotated[bool, typer.Option(help="Compile the networks first.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of weights, order and augmentation.")] = 0,
) -> None:
    """Train the teachers and the student inside a time box and write the student's checkpoint."""
    from mien_training.kit.train import KitRun

    try:
        KitRun(kit, out, minutes=minutes, compiled=compiled, seed=seed).train()
    except MienError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
