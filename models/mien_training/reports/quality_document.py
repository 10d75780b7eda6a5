"""Generate docs/quality.md from its result file."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[3] / "docs" / "quality.md"

_SHARES = ("sharpness", "too_blurred")
"""Metrics shown as the mean over all data sets."""

_HEADING = "gender accuracy | age, mean absolute error | emotion accuracy | sharpness | too blurred"

_INTRODUCTION = """# Faces too small or too blurred

A model returns a prediction for any input, even a blurred patch of ten pixels, but its probabilities are calibrated on
recognisable faces. Faces below one of two limits therefore get no prediction: age, gender, emotion and mood are absent,
the face is not sent to the workers, and `quality.abstained_reasons` has the reason. The face itself is still returned,
the tasks' status is OK, and other faces are not affected. The same holds if all faces of an image are below the limits.

| field | meaning | limit | default | reason |
| --- | --- | --- | --- | --- |
| `size_px` | height of the face box in image pixels | `limits.min_face_px` | {min_face} | `REASON_FACE_TOO_SMALL` |
| `sharpness` | spatial frequency of edges, 0-1 | `limits.min_sharpness` | {min_sharpness} | `REASON_FACE_TOO_BLURRED` |

In Python these are `face.quality` and `face.abstained_reasons`; `face.abstention` describes them in words.
`MIEN_LIMITS__MIN_FACE_PX=0` and `MIEN_LIMITS__MIN_SHARPNESS=0` disable the limits.

## Sharpness

The inner face (a square of 0.8 x the box's height) is resized to 16 x 16 grey pixels *I*. With *D* the differences of
neighbouring pixels, vertical and horizontal, and *L* = -*D*ᵀ*D* the Laplacian:

```
sharpness = |L I|² / (8 |D I|²)
```

This is the mean squared frequency of the face's edges, relative to the highest frequency of the grid: 0 for a flat
image, about 0.6 for white noise, always below 1. Differences cancel brightness and the ratio cancels contrast. The grid
is coarse because finer blur costs the models little accuracy.

## Choice of the limits

{choice}

"""

_LIMITATIONS = """
The faces were degraded by computation: averaged down, or blurred with a Gaussian. A camera also adds noise, compression
and motion blur, and noise raises the sharpness: a blurred face with strong noise passes. A face just above the limits
gets predictions, but less accurate ones than a larger or sharper face, as the tables show.

Command: `python -m mien_training.evaluation.quality --data DATA --photographs PHOTOGRAPHS`, where `DATA` contains the
zips of [the training guide](../models/training/README.md).
"""


def document(result: Mapping[str, Any]) -> str:
    """Return `docs/quality.md`."""
    limits, models = result["limits"], result["models"]
    named = [f"{task} by {model['name']} {model['version']} on {model['data']}" for task, model in models.items()]
    text = _INTRODUCTION.format(
        min_face=limits["min_face"],
        min_sharpness=limits["min_sharpness"],
        choice=_wrapped(
            f"`min_face` is {result['rule']['min_face']}. `min_sharpness` is {result['rule']['min_sharpness']}. "
            f"Measured on {result['faces']} faces of each data set's `val` part: {'; '.join(named)}."
        ),
    )
    heights = [f"| {height} | {_row(step)} |" for height, step in result["height_px"].items()]
    sigmas = [f"| {float(sigma):.0%} | {_row(step)} |" for sigma, step in result["sigma"].items()]
    rule = "| --- | --- | --- | --- | --- | --- |"
    untouched = f"| untouched | {_row(result['untouched'])} |"
    photographs = _photographs(result["photographs"], limits["min_face"])
    lines = [
        "Shrunk to a face box height, in pixels:",
        "",
        f"| height | {_HEADING} |",
        rule,
        *heights,
        untouched,
        "",
        "Gaussian blur, its standard deviation as a fraction of the face's height:",
        "",
        f"| blur | {_HEADING} |",
        rule,
        untouched,
        *sigmas,
        "",
        _wrapped(f"*Sharpness* is the median, *too blurred* the fraction below `min_sharpness`. {photographs}".strip()),
    ]
    return text + "\n".join(lines) + "\n" + _LIMITATIONS


def _wrapped(paragraph: str) -> str:
    return textwrap.fill(paragraph, 120, break_on_hyphens=False)


def _row(step: Mapping[str, Any]) -> str:
    sharpness, blurred = (sum(metrics[name] for metrics in step.values()) / len(step) for name in _SHARES)
    gender, age, emotion = (step[task]["figure"] for task in ("gender", "age", "emotion"))
    return f"{gender:.1%} | {age:.2f} years | {emotion:.1%} | {sharpness:.3f} | {blurred:.1%}"


def _photographs(found: Mapping[str, Any], min_face: int) -> str:
    if not found["faces"]:
        return ""
    return (
        f"Of {found['faces']} faces that `{found['detector']}` detects in photographs, {min_face} pixels high or more, "
        f"the median sharpness is {found['sharpness']:.3f}, and {found['too_blurred']:.1%} are too blurred."
    )
