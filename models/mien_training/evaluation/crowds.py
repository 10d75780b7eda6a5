"""Measure detection with default settings on large group photographs and panoramas, composed of portraits.

Run from the repository's root:

    python -m mien_training.evaluation.crowds --photographs PHOTOGRAPHS --out models/results/mien.crowds.json

Portraits with one known face are cropped loosely, scaled to the same face height and placed on a grid over a dim,
blurred background. A face counts as detected if the IoU is at least 0.35.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from mien_models.detectors import Detector, create
from mien_models.detectors.spec import SHIPPED, read
from mien_training.detection.metrics import match
from mien_training.evaluation.counted import Counted
from mien_training.results import provenance

_FOUND = 0.35
_LEAST = 60  # smallest face height of a portrait, in pixels
_CUT = 2.4  # side of a cut-out, in face heights
_NONE = np.zeros((0, 4), np.float32)


@dataclass(frozen=True, slots=True)
class Layout:
    """An image of portraits on a grid."""

    width: int
    height: int
    columns: int
    rows: int
    face: int
    """Height of each face, in pixels."""


LAYOUTS = (
    Layout(4000, 3000, 12, 8, 130),
    Layout(6000, 4000, 12, 8, 175),
    Layout(8000, 6000, 12, 8, 170),
    Layout(4800, 600, 8, 1, 117),
    Layout(10000, 600, 16, 1, 117),
)


def main(
    photographs: Annotated[Path, typer.Option(help="Folder with nasa, azure, public_domain.")],
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="Result file; standard output if omitted.")] = None,
) -> None:
    """Measure the shipped detector with its defaults."""
    cv2.setNumThreads(1)
    portraits = cut_outs(photographs)
    detector = create("mien", long_side=640)
    spec, _ = read(SHIPPED)
    result = {
        "detector": spec.name,
        "digest": f"sha256:{spec.weights.sha256 if spec.weights else ''}",
        **provenance.of_run("mien_training.evaluation.crowds", {"--photographs": photographs, "--out": out}),
        "machine": provenance.machine(),
        "rows": [measured(detector, portraits, layout) for layout in LAYOUTS],
    }
    report = provenance.text(result)
    if out:
        provenance.write({out: report})
    else:
        typer.echo(report, nl=False)


def measured(detector: Detector, portraits: Sequence[NDArray[np.uint8]], layout: Layout) -> dict[str, object]:
    """Return an image's size and faces, the detected ones, false positives, and the milliseconds of one call."""
    image, boxes = compose(portraits, layout)
    started = time.thread_time()
    faces = detector.detect(image)
    spent = time.thread_time() - started
    result = match(faces, boxes, _NONE, least=_FOUND)
    return {
        "width": layout.width,
        "height": layout.height,
        "face_px": layout.face,
        "faces": len(boxes),
        "found": int(result.hits.sum()),
        "false_boxes": int((~result.hits).sum()),
        "searched_px": None if faces.searched is None else round(faces.searched),
        "ms": round(1000 * spent),
    }


def cut_outs(photographs: Path) -> list[NDArray[np.uint8]]:
    """Return squares, `_CUT` face heights wide, with a portrait's face in the centre."""
    finder = create("mien", long_side=640)
    squares = []
    counted = Counted.read(photographs)
    for name, pixels in counted.images.items():
        faces = finder.detect(pixels)
        if counted.faces[name] != 1 or len(faces) != 1 or faces.boxes[0, 3] < _LEAST:
            continue
        box = faces.boxes[0]
        side = _CUT * box[3]
        matrix = np.array([[1, 0, side / 2 - box[0] - box[2] / 2], [0, 1, side / 2 - box[1] - box[3] / 2]])
        square = cv2.warpAffine(pixels, matrix, (int(side), int(side)), borderMode=cv2.BORDER_REPLICATE)
        squares.append(np.asarray(square, np.uint8))
    return squares


def compose(portraits: Sequence[NDArray[np.uint8]], layout: Layout) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return an image (H, W, 3) uint8 RGB and the boxes (N, 4) of its faces; a box is 0.75 times as wide as high."""
    noise = np.random.default_rng(0).integers(60, 140, (layout.rows + 2, layout.columns + 2, 3), np.uint8)
    image = np.asarray(cv2.resize(noise, (layout.width, layout.height), interpolation=cv2.INTER_CUBIC), np.uint8)
    cell_x, cell_y = layout.width / layout.columns, layout.height / layout.rows
    side = min(round(_CUT * layout.face), int(cell_x), int(cell_y))
    boxes = []
    for place in range(layout.rows * layout.columns):
        row, column = divmod(place, layout.columns)
        portrait = portraits[place % len(portraits)]
        whole = len(portrait)
        seen = round(whole * side / (_CUT * layout.face))
        start = (whole - seen) // 2
        cut = portrait[start : start + seen, start : start + seen]
        cut = cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA if seen > side else cv2.INTER_CUBIC)
        x, y = int((column + 0.5) * cell_x), int((row + 0.5) * cell_y)
        left, top = x - side // 2, y - side // 2
        image[top : top + side, left : left + side] = cut
        width = 0.75 * layout.face
        boxes.append((x - width / 2, y - layout.face / 2, width, layout.face))
    return image, np.array(boxes, np.float32)


if __name__ == "__main__":
    typer.run(main)
