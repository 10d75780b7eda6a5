"""How far photographs may be shrunk before faces are lost: a detector at several sizes, on counted photographs.

python models/training/long_side.py --photographs ../shared/photos --out models/results/mien.long_side.json
"""

from pathlib import Path
from typing import Annotated

import cv2
import typer

import record
from counted import Counted
from mien_models.detect import create
from mien_models.detect.spec import SHIPPED, read

_NAME = "mien"
_SIDES = (320, 480, 640, 800, 960, 1280)
_TILED = (480, 640)


def main(
    photographs: Annotated[Path, typer.Option(help="Folder with nasa, azure, public_domain, no_face.")],
    out: Annotated[Path, typer.Option(dir_okay=False, help="Result file.")],
) -> None:
    """Measure the detector that ships."""
    options: record.Options = {"--photographs": photographs, "--out": out}
    cv2.setNumThreads(1)
    counted = Counted.read(photographs)
    rows = [
        {"long_side": side, "tiles": tiles, **counted.figures(create(_NAME, long_side=side, tiles=tiles))}
        for tiles, sides in ((False, _SIDES), (True, _TILED))
        for side in sides
    ]
    spec, _ = read(SHIPPED)
    digest = f"sha256:{spec.weights.sha256 if spec.weights else ''}"
    result = {
        "detector": _NAME,
        "digest": digest,
        **record.of_run("long_side.py", options),
        "machine": record.machine(),
        "rows": rows,
    }
    record.write({out: record.text(result)})


if __name__ == "__main__":
    typer.run(main)
