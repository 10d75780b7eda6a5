"""Drive MediaPipe's face detection as in its guide for Python; detection only.

With the argument `full`, the model for faces within five metres, otherwise the default for two metres.
"""

import sys
from importlib.metadata import version

import answer_loop
import cv2
import mediapipe as mp

cv2.setNumThreads(1)
detector = mp.solutions.face_detection.FaceDetection(
    model_selection=int("full" in sys.argv), min_detection_confidence=0.5
)


def analyze(path: str) -> list[dict[str, object]]:
    """Return the box of each face in pixels."""
    image = cv2.imread(path)
    height, width = image.shape[:2]
    found = detector.process(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)).detections or []
    boxes = [detection.location_data.relative_bounding_box for detection in found]
    return [
        {
            "box": [box.xmin * width, box.ymin * height, box.width * width, box.height * height],
            "age": None,
            "gender": None,
            "emotions": {},
        }
        for box in boxes
    ]


answer_loop.run({"mediapipe": version("mediapipe")}, analyze)
