"""Judge a model as it is served: a labelled zip in, a result file and one line of answers a face out.

Run from the repository's root, for example:

    python models/training/evaluate.py --task emotion --data ../shared/data/fer2013.zip --split val --out result.json
"""

import typer

from mien_training.evaluation.evaluate import main

if __name__ == "__main__":
    typer.run(main)
