"""Drive DeepFace as in its README: `DeepFace.analyze(path, actions=["age", "gender", "emotion"])`.

The weights of `DEEPFACE_HOME` are random (`deepface_weights.py`), so only time and memory mean anything.
"""

from importlib.metadata import version

import answer_loop
import cv2
import onnxruntime
from deepface import DeepFace

cv2.setNumThreads(1)

# DeepFace has no setting for the number of threads.
_create = onnxruntime.InferenceSession


def _single_threaded(path: str, sess_options: onnxruntime.SessionOptions, **options: object) -> object:
    sess_options.intra_op_num_threads = 1
    return _create(path, sess_options=sess_options, **options)


onnxruntime.InferenceSession = _single_threaded


def analyze(path: str) -> list[dict[str, object]]:
    """Return box, age, gender and emotions of each face; without a face, DeepFace analyzes the whole picture."""
    found = DeepFace.analyze(path, actions=["age", "gender", "emotion"], enforce_detection=False, silent=True)
    return [
        {
            "box": [float(face["region"][name]) for name in "xywh"],
            "age": float(face["age"]),
            "gender": {"Man": "male", "Woman": "female"}[face["dominant_gender"]],
            "emotions": {name: float(score) / 100 for name, score in face["emotion"].items()},
        }
        for face in found
        if face["face_confidence"] > 0
    ]


answer_loop.run({name: version(name) for name in ("deepface", "onnxruntime")}, analyze)
