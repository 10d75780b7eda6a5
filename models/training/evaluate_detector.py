"""Judge detectors on photographs with hand-drawn boxes: recall, false boxes and time, in one run and by turns.

Run from the repository's root, for example:

    python models/training/evaluate_detector.py --photos photographs --boxes boxes.csv --detector mien --detector haar
"""

import os
from pathlib import Path

import typer

from mien_training.evaluation.evaluate_detector import main

_YUNET = Path(__file__).parents[2].parent / "shared" / "reference" / "yunet_n_320_320.onnx"
"""Where the project's own machines have YuNet's file."""

if __name__ == "__main__":
    if _YUNET.is_file():
        os.environ.setdefault("MIEN_YUNET", str(_YUNET))
    typer.run(main)
