"""Photographs that lie on their side or upside down: faces found with `detector.four_directions` and without.

python -m mien_training.evaluation.directions --photographs PHOTOGRAPHS --out models/results/mien.directions.json
"""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from mien_models.detectors import Detector, create
from mien_models.images.decode import decode
from mien_training.results import provenance

_SUFFIXES = {".jpg", ".jpeg", ".png"}
_EMPTY = "no_face"
_LONG_SIDE = 640


def main(
    photographs: Annotated[Path, typer.Option(help="Folder of photographs; its folder no_face holds none with faces.")],
    out: Annotated[Path, typer.Option(help="Result file.")],
) -> None:
    """Turn every photograph by 0, 90, 180 and 270 degrees and count the faces."""
    images = {
        path.relative_to(photographs).as_posix(): decode(path.read_bytes()).pixels
        for path in sorted(photographs.rglob("*"))
        if path.suffix.lower() in _SUFFIXES
    }
    detectors = {name: create("mien", long_side=_LONG_SIDE, four_directions=name == "on") for name in ("off", "on")}
    upright = {name: len(detectors["off"].detect(image)) for name, image in images.items()}
    with_faces = [name for name, count in upright.items() if count and not name.startswith(_EMPTY)]
    empty = [name for name in images if name.startswith(_EMPTY)]
    document = {
        **provenance.of_run("mien_training.evaluation.directions", {"--photographs": photographs, "--out": out}),
        "digest": detectors["off"].info.digest,
        "photographs": len(with_faces),
        "faces_upright": sum(upright[name] for name in with_faces),
        "photographs_without_faces": len(empty),
        "faces": {
            key: {str(90 * turns): _found(detector, [images[name] for name in with_faces], turns) for turns in range(4)}
            for key, detector in detectors.items()
        },
        "false_boxes": {
            key: _found(detector, [images[name] for name in empty], 0) for key, detector in detectors.items()
        },
    }
    out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    typer.echo(json.dumps(document["faces"]))
    typer.echo(json.dumps(document["false_boxes"]))


def _found(detector: Detector, images: "list[np.typing.NDArray[np.uint8]]", turns: int) -> int:
    return sum(len(detector.detect(np.ascontiguousarray(np.rot90(image, turns)))) for image in images)


if __name__ == "__main__":
    typer.run(main)
