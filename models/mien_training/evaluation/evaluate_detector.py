"""Evaluate detectors on photographs with hand-drawn boxes: recall, false positives and time, interleaved in one run.

Run from the repository's root, for example:

    python models/training/evaluate_detector.py --photos photographs --boxes boxes.csv --detector mien --detector haar
"""

import csv
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from mien_models.detectors import DETECTORS, Detector, create
from mien_models.errors import DetectorError, MienError
from mien_models.faces import Faces
from mien_models.images.decode import decode
from mien_models.images.errors import ImageError
from mien_training import installation
from mien_training.detection.metrics import match
from mien_training.results import provenance

FOUND = 0.35
"""IoU from which a face counts as detected."""

_COLUMNS = ("file", "x", "y", "w", "h")
_NO_IGNORED = np.zeros((0, 4), np.float32)


class BoxesError(MienError):
    """A boxes file that is missing or malformed; the message names the line."""


@dataclass(slots=True, eq=False)
class Turn:
    """One detector's faces in all photographs, and the milliseconds of each pass."""

    faces: list[Faces]
    milliseconds: list[float]


def main(
    photos: Annotated[Path, typer.Option(help="Folder of photographs, searched recursively.")],
    boxes: Annotated[Path, typer.Option(help="CSV file: file,x,y,w,h; a line with only a file has no face.")],
    detector: Annotated[list[str], typer.Option(help=f"One of {', '.join(DETECTORS)}; may be repeated.")],
    long_side: Annotated[int, typer.Option(min=64, help="Pixels to which photographs are shrunk.")] = 640,
    min_score: Annotated[float | None, typer.Option(min=0, max=1, help="Threshold; default: each detector's.")] = None,
    tiles: Annotated[bool, typer.Option("--tiles", help="Also search tiles of large photographs.")] = False,
    repeats: Annotated[int, typer.Option(min=1, help="Timed passes per photograph.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Count detected faces and false positives, and measure the time on one thread."""
    options: provenance.Options = {
        "--photos": photos,
        "--boxes": boxes,
        "--detector": detector,
        "--long-side": long_side,
        "--min-score": min_score,
        "--tiles": tiles,
        "--repeats": repeats,
        "--json": as_json,
    }
    try:
        truth = read_boxes(boxes)
        images = [decode((photos / name).read_bytes()).pixels for name in truth]
        detectors = {
            name: create(
                name,
                model_path=installation.detector_file(name),
                long_side=long_side,
                min_score=min_score,
                tiles=tiles,
            )
            for name in detector
        }
    except (BoxesError, DetectorError, ImageError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    turns = run_interleaved(detectors, images, repeats=repeats)
    metrics = {name: measure(turn, list(truth.values())) for name, turn in turns.items()}
    if as_json:
        result = {
            "photographs": len(images),
            "long_side": long_side,
            **provenance.of_run("models/training/evaluate_detector.py", options, [boxes]),
            "machine": provenance.machine(),
            "detectors": metrics,
        }
        typer.echo(provenance.text(result), nl=False)
    else:
        Console(width=110).print(_table(metrics))


def read_boxes(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return each file's boxes (N, 4), in the order of the CSV file; raises `BoxesError`."""
    rows: defaultdict[str, list[list[float]]] = defaultdict(list)
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            if not set(_COLUMNS) <= set(reader.fieldnames or ()):
                raise BoxesError(f"{path}: the first line must contain the columns {','.join(_COLUMNS)}")
            for row in reader:
                found = rows[row["file"]]
                if any(row[column] for column in _COLUMNS[1:]):
                    found.append([float(row[column]) for column in _COLUMNS[1:]])
    except OSError as error:
        raise BoxesError(f"{path}: {error.strerror}") from error
    except (ValueError, TypeError, csv.Error) as error:
        if isinstance(error, BoxesError):
            raise
        raise BoxesError(f"{path} line {reader.line_num}: x, y, w and h must be numbers") from error
    if not rows:
        raise BoxesError(f"{path} lists no photograph")
    return {name: np.array(found, np.float32).reshape(-1, 4) for name, found in rows.items()}


def run_interleaved(
    detectors: Mapping[str, Detector], images: Sequence[NDArray[np.uint8]], *, repeats: int = 1
) -> dict[str, Turn]:
    """Run all detectors on each image in turn, so that load affects them equally."""
    cv2.setNumThreads(1)
    turns = {name: Turn([], []) for name in detectors}
    for detector in detectors.values():
        detector.detect(images[0])  # warm-up
    for image in images:
        for repeat in range(repeats):
            for name, detector in detectors.items():
                started = time.perf_counter()
                faces = detector.detect(image)
                turns[name].milliseconds.append((time.perf_counter() - started) * 1000)
                if repeat == 0:
                    turns[name].faces.append(faces)
    return turns


def measure(turn: Turn, truth: Sequence[NDArray[np.float32]]) -> dict[str, float | None]:
    """Return recall, false positives and times of one detector."""
    pairs = zip(turn.faces, truth, strict=True)
    matches = [match(faces, boxes, _NO_IGNORED, least=FOUND) for faces, boxes in pairs]
    faces = sum(item.faces for item in matches)
    found = sum(int(item.hits.sum()) for item in matches)
    return {
        "faces": faces,
        "found": found,
        "recall": round(found / faces, 4) if faces else None,
        "false_boxes": sum(int((~item.hits).sum()) for item in matches),
        **times(turn),
    }


def times(turn: Turn) -> dict[str, float]:
    """Return the median and 95th percentile of one detector's milliseconds."""
    median, p95 = np.percentile(turn.milliseconds, (50, 95)).tolist()
    return {"median_ms": round(median, 2), "p95_ms": round(p95, 2)}


def _table(metrics: Mapping[str, Mapping[str, float | None]]) -> Table:
    table = Table()
    table.add_column("detector")
    for heading in next(iter(metrics.values())):
        table.add_column(heading.replace("_", " "), justify="right")
    for name, row in metrics.items():
        table.add_row(name, *(str(value) for value in row.values()))
    return table
