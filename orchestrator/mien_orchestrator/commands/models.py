"""The command `mien models`: list models, and fetch, import or train models into the model store."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from mien.cli.tables import console
from mien.errors import DetectorError, ModelError
from mien_models.catalog import PUBLISHED, Published
from mien_models.detectors.yunet import YuNet
from mien_models.registry import DEFAULTS, Entry
from mien_models.store import TRAINED_DETECTORS, ModelStore
from mien_orchestrator.build import make_detector, make_registry
from mien_orchestrator.commands.add_model import add
from mien_orchestrator.commands.exit_codes import INTERRUPTED, needs_extra, reported_errors
from mien_orchestrator.settings import Settings
from mien_training.detection.recipes import DETECTION_RECIPES, DetectionRecipe
from mien_training.faces.recipe import Recipe
from mien_training.faces.recipes import RECIPES

app = typer.Typer(no_args_is_help=True, help="List the models; fetch, import or train others.")

app.command()(add)

Name = Annotated[str, typer.Argument(help="Name of a model.", metavar="NAME")]


@app.command("list")
def list_models() -> None:
    """List the models that can be served, and those that can be fetched or trained."""
    with _plain_errors():
        settings = Settings.load()
        entries = make_registry(settings).entries()
        console().print(_installed(settings, entries))
        console().print(f"detector in use: {_detector(settings)}")
        store = ModelStore(settings.models.store)
        missing = [published for published in PUBLISHED.values() if not store.has(published)]
        if missing:
            console().print(_to_fetch(missing))
        untrained = RECIPES.keys() - {entry.spec.name for entry in entries}
        if untrained:
            console().print(_to_train([RECIPES[name] for name in sorted(untrained)]))


@app.command()
def show(name: Name) -> None:
    """Show the details of a model."""
    with _plain_errors():
        settings = Settings.load()
        entries = {entry.spec.name: entry for entry in make_registry(settings).entries()}
        if name not in entries and name not in PUBLISHED:
            raise ModelError(f"unknown model {name!r}; available: {', '.join(sorted({*entries, *PUBLISHED}))}")
        table = Table(show_header=False)
        for fact, value in _facts(entries.get(name), PUBLISHED.get(name), ModelStore(settings.models.store)):
            table.add_row(fact, value)
        table.add_row("in use for", _in_use(settings, name) or "nothing")
        console().print(table)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="The published file, such as a Keras HDF5 file.", metavar="FILE")],
    name: Annotated[str, typer.Option("--as", help="Name of the published model, as in `mien models list`.")],
    any_file: Annotated[
        bool, typer.Option("--any-file", help="Accept another Keras file of the same network.")
    ] = False,
) -> None:
    """Import a published file from this machine into the model store."""
    with _plain_errors():
        _say_where(ModelStore(Settings.load().models.store).import_file(file, name, any_file=any_file), name)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="Name in `mien models list`.", metavar="NAME")],
    url: Annotated[str | None, typer.Option(help="URL of a mirror with the same file.")] = None,
) -> None:
    """Download a published file, verify it and add it to the model store."""
    with _plain_errors():
        _say_where(ModelStore(Settings.load().models.store).fetch(name, url=url), name)


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="A model of this project.", metavar="NAME")],
    data: Annotated[Path, typer.Option(help="Folder with the labelled zips; see models/training/README.md.")],
    folder: Annotated[Path | None, typer.Option(help="Output folder instead of the model store.")] = None,
    runs: Annotated[
        Path | None, typer.Option(help="Folder for checkpoint and log; default: `runs` in the model store.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=0, help="Length of the run; 0: the recipe's.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    seed: Annotated[
        int, typer.Option(help="Seed of the initial weights, the order of the faces and the augmentation.")
    ] = 0,
) -> None:
    """Train a model on your copy of its data and add it to the model store; resumes a stopped run."""
    with _plain_errors():
        from mien_training.faces.dataset import DatasetError

        settings = Settings.load()
        home = settings.models.store
        checkpoints = runs or (folder or home) / "runs"
        length = {"epochs": epochs, "threads": threads, "seed": seed}
        try:
            if name in DETECTION_RECIPES:
                store = ModelStore(folder or home / TRAINED_DETECTORS)
                _train_detector(DETECTION_RECIPES[name], data, checkpoints, store, settings, **length)
            elif name in RECIPES:
                store = ModelStore(folder or home)
                _train_model(RECIPES[name], data, checkpoints, store, **length)
            else:
                known = ", ".join([*RECIPES, *DETECTION_RECIPES])
                raise ModelError(f"no recipe makes {name!r}; there are recipes for: {known}")
        except DatasetError as error:
            raise ModelError(str(error)) from error
        except KeyboardInterrupt as error:
            typer.echo(f"mien: stopped; run the same command to resume from the last epoch in {checkpoints}", err=True)
            raise typer.Exit(INTERRUPTED) from error
        _say_where(store.folder / f"{name}.onnx", name)


def _train_model(
    recipe: Recipe, data: Path, runs: Path, store: ModelStore, *, epochs: int, threads: int, seed: int
) -> None:
    from mien_training.faces import job

    run = job.train(recipe, data, runs, epochs=epochs, threads=threads, seed=seed, report=typer.echo)
    store.add(lambda scratch: job.export(run, data, scratch))


def _train_detector(
    recipe: DetectionRecipe,
    data: Path,
    runs: Path,
    store: ModelStore,
    settings: Settings,
    *,
    epochs: int,
    threads: int,
    seed: int,
) -> None:
    from mien_training.detection import job

    # YuNet detects the faces in the chips, which are never larger than this.
    teacher = YuNet(_yunet(settings), long_side=320)
    run = job.train_detector(
        recipe, data, runs, teacher=teacher, epochs=epochs, threads=threads, seed=seed, report=typer.echo
    )
    store.add(lambda scratch: job.export_detector(run, data, scratch))


def _yunet(settings: Settings) -> Path:
    """Return YuNet's file: `detector.path`, if YuNet is the detector of the settings, or the one in the store."""
    named = settings.detector.path if settings.detector.name == "yunet" else None
    path = named or ModelStore(settings.models.store).detector_file("yunet")
    if path is None:
        raise DetectorError("training a detector needs YuNet: run `mien models fetch yunet`")
    return path


@contextmanager
def _plain_errors() -> Iterator[None]:
    with reported_errors(), needs_extra("train", "this command"):
        yield


def _installed(settings: Settings, entries: list[Entry]) -> Table:
    """Return one row per model; `serves` has the tasks that the settings select it for."""
    table = Table(title="installed", title_justify="left")
    for heading in ("model", "version", "answers", "serves", "parameters", "summary"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "parameters" else "left")
    for entry in entries:
        spec = entry.spec
        serves = _in_use(settings, spec.name)
        table.add_row(spec.name, spec.version, ", ".join(spec.heads), serves, f"{spec.parameters:,}", spec.summary)
    return table


def _detector(settings: Settings) -> str:
    try:
        info = make_detector(settings).info
    except DetectorError as error:
        return f"{settings.detector.name}, which cannot be loaded: {error.message}"
    return f"{info.name} {info.version} ({settings.detector_file or 'shipped'})"


def _in_use(settings: Settings, name: str) -> str:
    """Return the tasks for which the settings select a model or detector."""
    used = [task for task, choice in settings.served.items() if name == (choice.model or DEFAULTS[task])]
    return ", ".join([*used, *(["face detection"] if name == settings.detector.name else [])])


def _to_fetch(missing: list[Published]) -> Table:
    table = Table(title="published, for `mien models fetch NAME`", title_justify="left")
    for heading in ("name", "what it is", "terms"):
        table.add_column(heading, overflow="fold")
    for published in missing:
        table.add_row(published.name, _summary(published), published.terms)
    return table


def _to_train(recipes: list[Recipe]) -> Table:
    table = Table(title="for `mien models train NAME`", title_justify="left")
    for heading in ("name", "what it is", "trained on"):
        table.add_column(heading, overflow="fold")
    for recipe in recipes:
        table.add_row(recipe.spec.name, recipe.spec.summary, ", ".join(recipe.data))
    return table


def _summary(published: Published) -> str:
    return published.spec.summary if published.spec else "The detector YuNet, for `detector.name: yunet`."


def _facts(entry: Entry | None, published: Published | None, store: ModelStore) -> Iterator[tuple[str, str]]:
    """Yield the details of a model that is installed, published or both."""
    if entry:
        yield from _installed_facts(entry)
    if published:
        if not entry:
            yield "name", published.name
            yield "summary", _summary(published)
            yield "installed", str(store.folder / published.file) if store.has(published) else "no"
        yield "published at", published.url
        yield "published file", f"sha256:{published.sha256}"
        yield "terms", published.terms


def _installed_facts(entry: Entry) -> Iterator[tuple[str, str]]:
    spec = entry.spec
    yield "name", spec.name
    yield "version", spec.version
    yield "summary", spec.summary
    yield "answers", ", ".join(spec.heads)
    yield "architecture", spec.architecture or "ONNX file"
    yield "parameters", f"{spec.parameters:,}"
    yield "input", f"{spec.crop.size} x {spec.crop.size} pixels, {spec.input.colour}"
    yield "crop", f"{spec.crop.scale} x the face box, its centre at {spec.crop.center_y} of the height"
    yield "installed", str(entry.path)
    yield "weights", entry.digest
    if spec.weights:
        yield "size", f"{spec.weights.bytes:,} bytes"


def _say_where(path: Path, name: str) -> None:
    typer.echo(f"{name} is in {path}")
