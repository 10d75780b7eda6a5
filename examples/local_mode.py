"""Analyze one photograph in this process, without a server: python examples/local_mode.py photo.jpg out.jpg"""

import sys

from PIL import Image

import mien


def main(photo: str, annotated: str) -> None:
    """Print the faces, and write the photograph with their boxes and predictions."""
    with mien.Client.local({"detector.name": "mien", "limits.max_faces": 20}) as client:
        analysis = client.analyze(photo)
    print(analysis)
    Image.fromarray(mien.draw(photo, analysis)).save(annotated)


if __name__ == "__main__":
    main(*sys.argv[1:])
