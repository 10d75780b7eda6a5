"""Analyze frames that exist as arrays, without encoding them: python examples/raw_arrays.py localhost:50051 photo.jpg

Cameras and video decoders give arrays; here the frames are windows that move over a photograph.
"""

import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import mien


def frames(photo: str, count: int = 5) -> Iterator[NDArray[np.uint8]]:
    """Yield frames as (H, W, 3) uint8 RGB; OpenCV's are BGR: pass `frame[:, :, ::-1]`."""
    with Image.open(photo) as image:
        pixels = np.asarray(image.convert("RGB"))
    for step in range(count):
        yield pixels[:, 8 * step :]


def main(server: str, photo: str) -> None:
    """Print where the largest face is in each frame."""
    with mien.Client(server) as client:
        for number, frame in enumerate(frames(photo)):
            analysis = client.analyze(frame, tasks=["emotion"], max_faces=1)
            for face in analysis.faces:
                print(f"frame {number}: {face.emotion.label if face.emotion else '?'} at x = {face.box.x:.0f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
