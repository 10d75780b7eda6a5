"""Measure how detection depends on the size to which photographs are shrunk, on hand-counted photographs.

python -m mien_training.evaluation.long_side --photographs ../shared/photos --out models/results/mien.long_side.json
"""

from pathlib import Path
from typing import Annotated

import cv2
import typer

from mien_models.detectors import create
from mien_models.detectors.spec import SHIPPED, read
from mien_training.evaluation.counted import Counted
from mien_training.results import provenance

_NAME = "mien"
_SIDES = (320, 480, 640, 800, 960, 1280)
_TILED = (480, 640)


def main(
    photographs: Annotated[Path, typer.Option(help="Folder with nasa, azure, public_domain, no_face.")],
    out: Annotated[Path, typer.Option(dir_okay=False, help="Result file.")],
) -> None:
    """Measure the default detector."""
    options: provenance.Options = {"--photographs": photographs, "--out": out}
    cv2.setNumThreads(1)
    counted = Counted.read(photographs)
    rows = [
        {"long_side": side, "tiles": tiles, **counted.metrics(create(_NAME, long_side=side, tiles=tiles))}
        for tiles, sides in ((False, _SIDES), (True, _TILED))
        for side in sides
    ]
    spec, _ = read(SHIPPED)
    digest = f"sha256:{spec.weights.sha256 if spec.weights else ''}"
    result = {
        "detector": _NAME,
        "digest": digest,
        **provenance.of_run("mien_training.evaluation.long_side", options),
        "machine": provenance.machine(),
        "rows": rows,
    }
    provenance.write({out: provenance.text(result)})


if __name__ == "__main__":
    typer.run(main)
