"""Judge detectors on photographs with hand-drawn boxes: recall, false boxes and time, in one run and by turns.

Run from the repository's root, for example:

    python models/training/evaluate_detector.py --photos photographs --boxes boxes.csv --detector mien --detector haar
"""

import typer

from mien_training.evaluation.evaluate_detector import main

if __name__ == "__main__":
    typer.run(main)
