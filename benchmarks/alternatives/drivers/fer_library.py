"""Drive `fer` as in its README: `FER().detect_emotions(cv2.imread(path))`; with `mtcnn`, `FER(mtcnn=True)`."""

import sys
from importlib.metadata import version

import answer_loop
import cv2
import numpy as np
import torch
from fer.fer import FER

cv2.setNumThreads(1)
torch.set_num_threads(1)
detector = FER(mtcnn="mtcnn" in sys.argv)


def analyze(path: str) -> list[dict[str, object]]:
    """Return box and emotions of each face; `fer` estimates neither age nor gender."""
    found = detector.detect_emotions(cv2.imread(path))
    return [
        {"box": np.asarray(face["box"], float).tolist(), "age": None, "gender": None, "emotions": face["emotions"]}
        for face in found
    ]


answer_loop.run({name: version(name) for name in ("fer", "tensorflow", "opencv-contrib-python")}, analyze)
