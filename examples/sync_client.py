"""Analyze one photograph on a server: python examples/sync_client.py localhost:50051 photo.jpg"""

import sys

import mien


def main(server: str, photo: str) -> None:
    """Print one line per face."""
    with mien.Client(server) as client:
        analysis = client.analyze(photo)
    for face in analysis.faces:
        if face.abstained:
            print(f"{face.box}: {face.abstention}")
        elif face.age and face.gender and face.emotion:
            years = f"{face.age.years:.0f} years ({face.age.low:.0f}-{face.age.high:.0f})"
            print(f"{years}, {face.gender.value} {face.gender.probability:.0%}, {face.emotion.label}")
    if not analysis.faces:
        print("no face")


if __name__ == "__main__":
    main(*sys.argv[1:])
