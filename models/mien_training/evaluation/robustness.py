"""Measure robustness: how predictions change if a face is cropped, compressed or photographed slightly differently.

Run from the repository's root:

    python -m mien_training.evaluation.robustness --model mien-emotion --data DATA/fer2013.zip --out result.json

The chips are cropped again with a changed box, angle or image; labels are not used.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from mien_models.errors import ModelError
from mien_models.registry import TASKS
from mien_models.spec import CropSpec
from mien_training import installation
from mien_training.evaluation import evaluate, recrop
from mien_training.faces.dataset import DatasetError, load
from mien_training.results import provenance

JITTER = 0.05
"""Displacement of the box in each direction, as a fraction of its height, and change of its size."""

ANGLE = 8
"""Rotation of a face, in degrees."""

QUALITY = 50
"""JPEG quality of the compressed variant."""

Crops = NDArray[np.uint8]
Answers = Mapping[str, NDArray[np.float32]]


def main(
    model: Annotated[str, typer.Option(help="Model to evaluate, in all its tasks.")],
    data: Annotated[Path, typer.Option(help="Zip of faces; see models/training/README.md.")],
    split: Annotated[str, typer.Option(help="Split to sample from; 'all' uses every row.")] = "val",
    faces: Annotated[int, typer.Option(min=1, max=1500, help="Number of faces.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the sample and of the changes.")] = 0,
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="Result file; default: standard output.")] = None,
) -> None:
    """Measure how often, and by how much, predictions change on a sample of faces."""
    options: provenance.Options = {
        "--model": model,
        "--data": data,
        "--split": split,
        "--faces": faces,
        "--seed": seed,
        "--out": out,
    }
    try:
        entry = installation.registry().get(model)
        tasks = [task for task in TASKS if task in entry.spec.heads]
        framed = recrop.frame(data)
        images = _sample(load(data, split=split, size=framed.size).images, faces, seed)
        variants = vary(images, framed, entry.spec.crop, np.random.default_rng(seed))
        before = evaluate.predict(entry, tasks, recrop.cut_again(images, framed, entry.spec.crop))
        report = provenance.text(
            {
                **provenance.of_model(entry),
                "tasks": tasks,
                "split": split,
                "n": len(images),
                "seed": seed,
                **provenance.of_run("mien_training.evaluation.robustness", options, [data]),
                "changes": {
                    name: changes(before, evaluate.predict(entry, tasks, cut())) for name, cut in variants.items()
                },
            }
        )
        if out:
            provenance.write({out: report})
        else:
            typer.echo(report, nl=False)
    except (DatasetError, ModelError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


def vary(
    images: Crops, framed: CropSpec, wanted: CropSpec, random: np.random.Generator
) -> dict[str, Callable[[], Crops]]:
    """Return, for each change, a function that returns the changed crops (N, S, S, 3) of (N, H, H, 3) uint8 chips.

    Shifts, sizes and angles have full magnitude, in a random direction for each face.
    """
    count = len(images)
    shift = JITTER * random.choice([-1.0, 1.0], (count, 2))
    zoom = 1 + JITTER * random.choice([-1.0, 1.0], count)
    angle = math.radians(ANGLE) * random.choice([-1.0, 1.0], count)
    return {
        f"box shifted by {JITTER:.0%}": lambda: recrop.cut_again(images, framed, wanted, shift=shift),
        f"box {JITTER:.0%} larger or smaller": lambda: recrop.cut_again(images, framed, wanted, zoom=zoom),
        f"turned by {ANGLE} degrees": lambda: recrop.cut_again(images, framed, wanted, angle=angle),
        f"JPEG of quality {QUALITY}": lambda: recrop.cut_again(_packed(images), framed, wanted),
        "half the size": lambda: recrop.cut_again(_resized(images, 0.5, cv2.INTER_AREA), framed, wanted),
        "double the size": lambda: recrop.cut_again(_resized(images, 2, cv2.INTER_CUBIC), framed, wanted),
    }


def changes(before: Answers, after: Answers) -> dict[str, dict[str, float]]:
    """Return per task the fraction of changed predictions; for ages the mean change in years, absolute and signed."""
    result: dict[str, dict[str, float]] = {}
    if "years" in before:
        moved = after["years"] - before["years"]
        result["age"] = {
            "mean_absolute_years": round(float(np.abs(moved).mean()), 3),
            "mean_years": round(float(moved.mean()), 3),
        }
    if "p_male" in before:
        result["gender"] = _changed(before["p_male"] >= 0.5, after["p_male"] >= 0.5)
    if "probabilities" in before:
        result["emotion"] = _changed(before["probabilities"].argmax(1), after["probabilities"].argmax(1))
    return result


def _changed(before: NDArray[np.generic], after: NDArray[np.generic]) -> dict[str, float]:
    return {"changed": round(float((before != after).mean()), 4)}


def _sample(images: Crops, count: int, seed: int) -> Crops:
    chosen = np.random.default_rng(seed).permutation(len(images))[:count]
    return images[np.sort(chosen)]


def _packed(images: Crops) -> Crops:
    """Encode each chip as JPEG and decode it again."""
    packed = np.empty_like(images)
    for index, image in enumerate(images):
        code = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
        decoded = cv2.imdecode(code, cv2.IMREAD_COLOR_RGB)
        assert decoded is not None, "what was encoded here can be decoded"
        packed[index] = decoded
    return packed


def _resized(images: Crops, factor: float, interpolation: int) -> Crops:
    side = round(images.shape[1] * factor)
    return np.stack([cv2.resize(image, (side, side), interpolation=interpolation) for image in images]).astype(np.uint8)


if __name__ == "__main__":
    typer.run(main)
