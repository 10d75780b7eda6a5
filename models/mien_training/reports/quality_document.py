"""The document about faces too small or too blurred: a result file in, Markdown out."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[3] / "docs" / "quality.md"

_SHARES = ("sharpness", "too_blurred")
"""Figures that all data sets have, shown as their mean."""

_HEADING = "gender right | age, mean error | emotion right | sharpness | too blurred"

_INTRODUCTION = """# When a face is too small or too blurred to say

A model answers whatever it is shown, a smear of ten pixels too, and its probabilities are calibrated on faces that can
be seen. So faces below two limits get no answers: age, gender, emotion and mood are absent, nothing of the face goes to
the workers, and `quality.abstained` says why. The face is still reported, the tasks' status is OK, and the other faces
are answered as ever; so is a photograph whose faces all are too poor.

| measured | is | below the setting | which is | the reason is |
| --- | --- | --- | --- | --- |
| `size_px` | height of the face's box, in pixels of the photograph | `min_face` | {min_face} | `FACE_TOO_SMALL` |
| `sharpness` | how fine the face's edges are, 0 to 1 | `min_sharpness` | {min_sharpness} | `FACE_TOO_BLURRED` |

In Python these are `face.quality` and `face.abstained`, and `face.abstention` has them in words ("too small to say").
`MIEN_MIN_FACE=0` and `MIEN_MIN_SHARPNESS=0` switch them off.

## What sharpness is

The inner face (a square of 0.8 x the box's height) is cut to 16 x 16 grey pixels *I*. With *D* the differences of
neighbouring pixels, down and across, and *L* = -*D*ᵀ*D* the Laplacian:

```
sharpness = |L I|² / (8 |D I|²)
```

That is the mean squared frequency of the face's edges, as a share of the highest that the grid can hold: 0 for a flat
picture, about 0.6 for white noise, never 1. Brightness cancels in the differences and contrast in the ratio. The grid
is coarse on purpose: a blur that it does not see costs the models little.

## How the limits were chosen

{choice}

"""

_LIMITATIONS = """
The faces were made worse by computation: shrunk by averaging, or blurred by a Gaussian. A camera adds noise,
compression and motion, and noise looks like sharpness: a blurred face with strong noise passes. A face just above the
limits is answered, but worse than a larger or sharper one, as the tables show.

Command: `python -m mien_training.evaluation.quality --data DATA --photographs PHOTOGRAPHS`, where `DATA` has the
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
        "Shrunk to a height of the face's box, in pixels:",
        "",
        f"| height | {_HEADING} |",
        rule,
        *heights,
        untouched,
        "",
        "Blurred with a Gaussian whose standard deviation is a part of the face's height:",
        "",
        f"| blur | {_HEADING} |",
        rule,
        untouched,
        *sigmas,
        "",
        _wrapped(f"*Sharpness* is the median, *too blurred* the share below `min_sharpness`. {photographs}".strip()),
    ]
    return text + "\n".join(lines) + "\n" + _LIMITATIONS


def _wrapped(paragraph: str) -> str:
    return textwrap.fill(paragraph, 120, break_on_hyphens=False)


def _row(step: Mapping[str, Any]) -> str:
    sharpness, blurred = (sum(figures[name] for figures in step.values()) / len(step) for name in _SHARES)
    gender, age, emotion = (step[task]["figure"] for task in ("gender", "age", "emotion"))
    return f"{gender:.1%} | {age:.2f} years | {emotion:.1%} | {sharpness:.3f} | {blurred:.1%}"


def _photographs(found: Mapping[str, Any], min_face: int) -> str:
    if not found["faces"]:
        return ""
    return (
        f"Of {found['faces']} faces that `{found['detector']}` finds in photographs, at least {min_face} pixels high, "
        f"the median sharpness is {found['sharpness']:.3f}, and {found['too_blurred']:.1%} are too blurred."
    )
