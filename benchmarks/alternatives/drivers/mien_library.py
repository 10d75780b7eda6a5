"""Drive Mien in local mode as in its README: `mien.Client.local().analyze(path)`."""

from importlib.metadata import version

import answer_loop
import cv2

import mien

cv2.setNumThreads(1)
client = mien.Client.local()


def analyze(path: str) -> list[dict[str, object]]:
    """Return box, age, the more probable gender and emotions of each face; None for a face without predictions."""
    return [
        {
            "box": [face.box.x, face.box.y, face.box.width, face.box.height],
            "age": face.age.years if face.age else None,
            "gender": ("male" if face.gender.male_probability >= 0.5 else "female") if face.gender else None,
            "uncertain": face.gender is not None and face.gender.value == "uncertain",
            "emotions": {emotion.label: emotion.probability for emotion in face.emotions},
        }
        for face in client.analyze(path).faces
    ]


answer_loop.run({name: version(name) for name in ("mien", "onnxruntime")}, analyze)
