"""Measure how many array frames per second are analyzed as raw pixels, and as PNG.

python benchmarks/arrays.py --detector mien --out benchmarks/results/arrays.json

Frames are NumPy arrays (H, W, 3) uint8 RGB, cut from the enlarged example at different places. They are smoother than a
camera's, which favours PNG. Every round analyzes the same frames as raw pixels and as PNG, as the SDK sends arrays of
more than 16 MiB, one call at a time, in local mode and against a single server on the same machine. Ratios are taken
within the round, so that background load affects both.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

import mien
import weights
from mien.images import ImageSource, image_bytes
from overload import ADDRESS, serve

_EXAMPLE = Path(__file__).parents[1] / "examples" / "astronaut.jpg"
_SIZES = ((640, 480), (1280, 720), (1920, 1080))
"""Width and height of the frames, in pixels."""

Frame = NDArray[np.uint8]
Encode = Callable[[Frame], ImageSource]


def main(
    out: Annotated[Path, typer.Option(help="Result file.")],
    detector: Annotated[str, typer.Option(help="Detector.")] = "mien",
    count: Annotated[int, typer.Option(help="Frames of one measurement.")] = 20,
    rounds: Annotated[int, typer.Option(help="Rounds; each measures every case once.")] = 5,
) -> None:
    """Measure frames per second of both encodings, in local mode and against a single server."""
    with serve(detector), mien.Client.local({"detector": {"name": detector}}) as local, mien.Client(ADDRESS) as single:
        results = {
            mode: {
                f"{width} x {height}": _measure(client, frames(width, height, count), rounds)
                for width, height in _SIZES
            }
            for mode, client in (("local", local), ("single", single))
        }
    document = {
        "command": " ".join(["python", *sys.argv]),
        "weights": weights.defaults(detector),
        "cores": os.cpu_count(),
        "rounds": rounds,
        "frames": count,
        "modes": results,
    }
    out.write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(results, indent=2))


def frames(width: int, height: int, count: int) -> list[Frame]:
    """Return frames of the example, enlarged to their width, with its face at `count` places."""
    random = np.random.default_rng(0)
    with Image.open(_EXAMPLE) as file:
        scene = np.asarray(file.convert("RGB").resize((width, width), Image.Resampling.BICUBIC))
    offsets = random.integers(-width // 8, width // 8, count).tolist()
    return [np.ascontiguousarray(np.roll(scene[:height], offset, axis=1)) for offset in offsets]


def _measure(client: mien.Client, pictures: list[Frame], rounds: int) -> dict[str, object]:
    """Return frames per second by encoding and their ratio, as medians over the rounds."""
    if [_numbers(client, frame) for frame in pictures] != [_numbers(client, image_bytes(frame)) for frame in pictures]:
        raise SystemExit("pixels and PNG have different answers")
    raw, png = [], []
    for _ in range(rounds):
        raw.append(_rate(client, pictures, lambda frame: frame))
        png.append(_rate(client, pictures, image_bytes))
    ratios = [fast / slow for fast, slow in zip(raw, png, strict=True)]
    return {
        "raw_frames_per_second": round(median(raw), 1),
        "png_frames_per_second": round(median(png), 1),
        "raw_over_png": {
            "median": round(median(ratios), 2),
            "low": round(min(ratios), 2),
            "high": round(max(ratios), 2),
        },
    }


def _numbers(client: mien.Client, image: ImageSource) -> tuple[mien.Face, ...]:
    return tuple(client.analyze(image).faces)


def _rate(client: mien.Client, pictures: list[Frame], encode: Encode) -> float:
    started = time.perf_counter()
    for frame in pictures:
        client.analyze(encode(frame))
    return len(pictures) / (time.perf_counter() - started)


if __name__ == "__main__":
    typer.run(main)
