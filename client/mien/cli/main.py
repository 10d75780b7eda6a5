"""The command `client`: analyze photographs and videos, and print a table, JSON or CSV, or write annotated images.

Results go to standard output, all other messages to standard error. See `mien.cli.exit_codes` for the exit codes.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from google.rpc import code_pb2
from rich.markdown import Markdown

from mien.cli import tables
from mien.cli.analysis import analyze_all
from mien.cli.annotate import Annotator
from mien.cli.bench.command import bench
from mien.cli.csv_rows import COLUMNS, print_row, rows_of
from mien.cli.demo import demo
from mien.cli.exit_codes import FAILED, INTERRUPTED, USAGE, CommandGroup, leave
from mien.cli.options import ConnectionOptions, MaxFaces, with_connection
from mien.cli.sources import Source, find
from mien.cli.version import version_option
from mien.cli.video.command import EXIT_CODES as VIDEO_EXIT_CODES
from mien.cli.video.command import video
from mien.client import Client
from mien.errors import InvalidRequestError, MienError
from mien.images import shown
from mien.types.analysis import Analysis
from mien.types.server_info import ModelCard

EXIT_CODES = (
    "Exit codes: 0 success; 1 an image, a task, an annotated image or the output failed; 2 invalid usage; "
    "3 no server is reachable; 130 interrupted."
)

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Estimate age, gender, emotion and mood of the faces in photographs.",
    epilog=EXIT_CODES,
)
app.command()(bench)
app.command()(demo)
app.command(epilog=VIDEO_EXIT_CODES)(video)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.callback()
def _main(
    version: Annotated[bool, version_option("client")] = False,
) -> None:
    """Estimate age, gender, emotion and mood of the faces in photographs."""


@app.command(epilog=EXIT_CODES)
@with_connection
def analyze(
    paths: Annotated[
        list[str],
        typer.Argument(help="Files, folders (recursive, without hidden files), glob patterns, or - for stdin."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per image, one per line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with one row per face.")] = False,
    annotate: Annotated[Path | None, typer.Option(help="Write annotated images to this file or folder.")] = None,
    tasks: Annotated[str | None, typer.Option(help="Tasks to run, separated by commas: age,gender,emotion.")] = None,
    max_faces: MaxFaces = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Model for a task, such as emotion=NAME, if the server allows it.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Number of images to analyze concurrently.")] = 4,
    *,
    connection: ConnectionOptions,
) -> None:
    """Analyze photographs."""
    if as_json and as_csv:
        typer.echo("client: --json and --csv cannot be combined", err=True)
        raise typer.Exit(USAGE)
    models = _models(model or [])
    names = [name.strip() for name in tasks.split(",") if name.strip()] if tasks is not None else None
    failed, done = False, 0
    rows: list[tuple[str, Analysis]] = []
    sources: list[Source] = []
    interrupted = False
    try:
        sources = find(paths)
        annotator = Annotator(annotate, sources) if annotate else None
        with connection.client() as client:
            _check_tasks(client, names)
            if as_csv:
                print_row(COLUMNS)
            for source, outcome, drawing in analyze_all(client, sources, names, max_faces, models, annotator, jobs):
                done += 1
                failed |= _report(source, outcome, drawing)
                if as_json:
                    print(json.dumps(_json(source, outcome), ensure_ascii=False), flush=True)
                elif isinstance(outcome, Analysis) and as_csv:
                    for row in rows_of(source.name, outcome):
                        print_row(row)
                elif isinstance(outcome, Analysis):
                    rows.append((source.name, outcome))
    except MienError as error:
        raise leave(error) from error
    except KeyboardInterrupt:
        interrupted = True
    if rows:
        tables.console().print(tables.analyses(rows))
    if interrupted:
        typer.echo(f"client: interrupted; {done} of {len(sources)} images are done", err=True)
        raise typer.Exit(INTERRUPTED)
    if failed:
        raise typer.Exit(FAILED)


@app.command(epilog=EXIT_CODES)
@with_connection
def models(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[list | show NAME]", help="List the models, or show one's card.")
    ] = None,
    as_json: AsJson = False,
    *,
    connection: ConnectionOptions,
) -> None:
    """List the models, those in use first, or show one model's card."""
    name = _model_of(words or [])
    try:
        with connection.client() as client:
            if name is not None:
                _show(client.model_card(name), as_json=as_json)
                return
            found, server = client.models(), client.server_info()
    except MienError as error:
        raise leave(error) from error
    if as_json:
        print(json.dumps([dataclasses.asdict(model) for model in found]))
    else:
        tables.console().print(tables.models(found, server.models, server.detector))


def _model_of(words: list[str]) -> str | None:
    """Return the name of the model to show, or None to list all; `client models NAME` is short for `show NAME`."""
    match words:
        case [] | ["list"]:
            return None
        case ["show", name]:
            return name
        case [name] if name != "show":
            return name
    typer.echo("client: usage: client models [list | show NAME]", err=True)
    raise typer.Exit(USAGE)


def _show(card: ModelCard, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(dataclasses.asdict(card), ensure_ascii=False))
    elif sys.stdout.isatty():
        tables.console().print(Markdown(card.markdown))
    else:
        print(card.markdown, end="")


@app.command(epilog=EXIT_CODES)
@with_connection
def info(as_json: AsJson = False, *, connection: ConnectionOptions) -> None:
    """Show the server's version, tasks, models in use, formats and limits."""
    try:
        with connection.client() as client:
            found = client.server_info()
    except MienError as error:
        raise leave(error) from error
    if as_json:
        print(json.dumps(dataclasses.asdict(found)))
    else:
        tables.console().print(tables.server_info(found))


def _models(pairs: list[str]) -> dict[str, str]:
    """Return the models of `--model TASK=NAME` by task."""
    split = [pair.partition("=") for pair in pairs]
    wrong = next((pair for pair, (task, _, name) in zip(pairs, split, strict=True) if not task or not name), None)
    if wrong is not None:
        typer.echo(f"client: --model {wrong!r} must be TASK=NAME, such as emotion=mien-emotion-fer2013", err=True)
        raise typer.Exit(USAGE)
    return {task: name for task, _, name in split}


def _check_tasks(client: Client, names: list[str] | None) -> None:
    """Check that the server is reachable and has the tasks, before the first image is read."""
    served = client.server_info().tasks
    unknown = [name for name in names or () if name not in served]
    if unknown or names == []:
        wrong = f"unknown task {unknown[0]!r}" if unknown else "the list of tasks is empty"
        raise InvalidRequestError(f"{wrong}; available: {', '.join(served)}", reason="TASK_UNKNOWN")


def _report(source: Source, outcome: Analysis | MienError, drawing: MienError | None) -> bool:
    """Print each failure to standard error in one line; return True if there were any."""
    name = shown(source.name)
    if isinstance(outcome, MienError):
        message = outcome.message if name in outcome.message else f"{name}: {outcome.message}"
        typer.echo(f"client: {message}", err=True)
        return True
    failures = [task for task in outcome.tasks if not task.ok]
    for task in failures:
        typer.echo(f"client: {name}: {task.task}: {task.code}: {task.message}", err=True)
    if drawing:
        typer.echo(f"client: {name}: not annotated: {drawing.message}", err=True)
    return bool(failures or drawing)


def _json(source: Source, outcome: Analysis | MienError) -> dict[str, object]:
    if isinstance(outcome, Analysis):
        return {"source": source.name} | outcome.to_dict()
    code = code_pb2.Code.Name(outcome.code)
    return {"source": source.name, "error": {"code": code, "reason": outcome.reason, "message": outcome.message}}
