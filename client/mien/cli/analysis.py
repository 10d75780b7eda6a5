"""Analyze many images at the same time, with a progress bar."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from mien.cli.annotate import Annotator
from mien.cli.sources import Source
from mien.client import Client
from mien.errors import FileError, MienError
from mien.types.analysis import Analysis

Outcome: TypeAlias = tuple[Analysis | MienError, MienError | None]
"""The analysis or its error, and the error of the annotated image."""


class _Rate(ProgressColumn):
    """Images per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} images/s" if task.speed else "- images/s")


def analyze_all(
    client: Client,
    sources: Sequence[Source],
    tasks: list[str] | None,
    max_faces: int | None,
    models: Mapping[str, str],
    annotator: Annotator | None,
    jobs: int,
) -> Iterator[tuple[Source, Analysis | MienError, MienError | None]]:
    """Analyze `jobs` images concurrently, and yield the outcomes in the order of the images.

    Closing the generator cancels the images that have not been started.
    """

    def one(source: Source) -> Outcome:
        try:
            image = source.read()
            analysis = client.analyze(image, tasks=cast(Any, tasks), max_faces=max_faces, models=cast(Any, models))
        except MienError as error:
            return error, None
        except MemoryError:
            return FileError("out of memory; use fewer --jobs or smaller images"), None
        try:
            if annotator:
                annotator.write(source, image, analysis)
        except MienError as error:
            return analysis, error
        return analysis, None

    stderr = Console(stderr=True)
    pool = ThreadPoolExecutor(jobs)
    columns = (TextColumn("analyzing"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    quiet = len(sources) == 1 or not stderr.is_terminal
    try:
        with Progress(*columns, console=stderr, transient=True, disable=quiet, redirect_stdout=False) as progress:
            shown = progress.add_task("analyzing", total=len(sources))
            for source, (outcome, drawing) in zip(sources, pool.map(one, sources), strict=True):
                progress.advance(shown)
                yield source, outcome, drawing
    finally:
        pool.shutdown(cancel_futures=True)
