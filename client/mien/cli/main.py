"""The command `client`: photographs in, a table, JSON or annotated pictures out.

Results go to standard output, everything else to standard error. Exit codes: 0 all well, 1 some images failed,
2 wrong usage, 3 server unreachable.
"""

import dataclasses
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from google.rpc import code_pb2
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import track

from mien.cli import tables
from mien.cli.annotate import Annotator
from mien.cli.bench.command import bench
from mien.cli.exit_codes import FAILED, leave
from mien.cli.options import Ca, Cert, Key, Server, Timeout, TokenFile, UseTls, connect
from mien.cli.sources import Source, find
from mien.client import DEFAULT_TIMEOUT, Client
from mien.errors import InvalidRequestError, MienError
from mien.types.analysis import Analysis
from mien.types.server_info import ModelCard
from mien.version import __version__

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Say how old, which gender, which emotion and which mood the faces of photographs show.",
)
app.command()(bench)

_AT_ONCE = 4

AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"client {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Say how old, which gender, which emotion and which mood the faces of photographs show."""


@app.command()
def analyze(
    paths: Annotated[list[str], typer.Argument(help="Files, folders, patterns, or - for standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object an image, a line each.")] = False,
    annotate: Annotated[Path | None, typer.Option(help="Draw the answers into this file or folder.")] = None,
    tasks: Annotated[str | None, typer.Option(help="Some of the tasks, with commas: age,gender,emotion.")] = None,
    max_faces: Annotated[int, typer.Option(min=0, help="Report the largest faces only; 0: all.")] = 0,
    server: Server = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    tls: UseTls = False,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    token_file: TokenFile = None,
) -> None:
    """Analyze photographs."""
    names = [name.strip() for name in tasks.split(",") if name.strip()] if tasks is not None else None
    failed = False
    try:
        sources = find(paths)
        annotator = Annotator(annotate, sources) if annotate else None
        with connect(server, timeout, tls, ca, cert, key, token_file) as client:
            _check_tasks(client, names)
            rows: list[tuple[str, Analysis]] = []
            for source, outcome in _analyze_all(client, sources, names, max_faces, annotator):
                failed |= _report(source, outcome)
                if as_json:
                    print(json.dumps(_json(source, outcome), ensure_ascii=False), flush=True)
                elif isinstance(outcome, Analysis):
                    rows.append((source.name, outcome))
    except MienError as error:
        raise leave(error) from error
    if rows:
        tables.console().print(tables.analyses(rows))
    if failed:
        raise typer.Exit(FAILED)


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="A model, to show its card.", metavar="[NAME]")] = None,
    as_json: AsJson = False,
    server: Server = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    tls: UseTls = False,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    token_file: TokenFile = None,
) -> None:
    """List the models, those in use first; with a NAME, show that model's card."""
    try:
        with connect(server, timeout, tls, ca, cert, key, token_file) as client:
            if name is not None:
                _show(client.model_card(name), as_json=as_json)
                return
            found = client.models()
    except MienError as error:
        raise leave(error) from error
    if as_json:
        print(json.dumps([dataclasses.asdict(model) for model in found]))
    else:
        tables.console().print(tables.models(found))


def _show(card: ModelCard, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(dataclasses.asdict(card), ensure_ascii=False))
    elif sys.stdout.isatty():
        tables.console().print(Markdown(card.markdown))
    else:
        print(card.markdown, end="")


@app.command()
def info(
    as_json: AsJson = False,
    server: Server = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    tls: UseTls = False,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    token_file: TokenFile = None,
) -> None:
    """Say what answers and what it takes."""
    try:
        with connect(server, timeout, tls, ca, cert, key, token_file) as client:
            found = client.server_info()
    except MienError as error:
        raise leave(error) from error
    if as_json:
        print(json.dumps(dataclasses.asdict(found)))
    else:
        tables.console().print(tables.server_info(found))


def _check_tasks(client: Client, names: list[str] | None) -> None:
    """Fail before the first image where the server cannot be reached or a task is none of its."""
    served = client.server_info().tasks
    unknown = [name for name in names or () if name not in served]
    if unknown or names == []:
        wrong = f"unknown task {unknown[0]!r}" if unknown else "no task named"
        raise InvalidRequestError(f"{wrong}; available: {', '.join(served)}", reason="TASK_UNKNOWN")


def _analyze_all(
    client: Client, sources: list[Source], tasks: list[str] | None, max_faces: int, annotator: Annotator | None
) -> Iterator[tuple[Source, Analysis | MienError]]:
    """Analyze several images at once, and yield the outcomes in the images' order."""

    def one(source: Source) -> Analysis | MienError:
        try:
            image = source.read()
            analysis = client.analyze(image, tasks=cast(Any, tasks), max_faces=max_faces or None)
            if annotator:
                annotator.write(source, image, analysis)
        except MienError as error:
            return error
        return analysis

    stderr = Console(stderr=True)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        outcomes = zip(sources, pool.map(one, sources), strict=True)
        quiet = len(sources) == 1 or not stderr.is_terminal
        yield from track(outcomes, "analyzing", len(sources), console=stderr, transient=True, disable=quiet)


def _report(source: Source, outcome: Analysis | MienError) -> bool:
    """Say on standard error what failed; return whether anything did."""
    if isinstance(outcome, MienError):
        said = outcome.message if source.name in outcome.message else f"{source.name}: {outcome.message}"
        typer.echo(f"client: {said}", err=True)
        return True
    failures = [task for task in outcome.tasks if not task.ok]
    for task in failures:
        typer.echo(f"client: {source.name}: {task.task}: {task.code}: {task.message}", err=True)
    return bool(failures)


def _json(source: Source, outcome: Analysis | MienError) -> dict[str, object]:
    if isinstance(outcome, Analysis):
        return {"source": source.name} | outcome.to_dict()
    code = code_pb2.Code.Name(outcome.code)
    return {"source": source.name, "error": {"code": code, "reason": outcome.reason, "message": outcome.message}}
