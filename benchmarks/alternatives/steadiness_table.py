"""Table of steadiness: the changes of predictions between the frames of a clip."""

from collections.abc import Iterator

from alternatives.catalog import SYSTEMS
from alternatives.results import Comparison, Steadiness
from alternatives.steadiness import STREAM
from tables import table


def steadiness_parts(comparison: Comparison) -> Iterator[str]:
    """Yield the section, if steadiness was measured."""
    if not comparison.steadiness:
        return
    yield "## Steadiness"
    yield (
        "Gentle clips of one face: a slow pan over a photograph with little noise, 100 frames each. Nothing changes "
        "in the face, so every change of a label is an error. Cells: changes of gender and of emotion per 100 frames, "
        "standard deviation of the age in years; `-` is not estimated. The stream is [Mien's own](video.md); the "
        "others analyze frame by frame."
    )
    titles = {system.name: system.title for system in SYSTEMS} | {STREAM: "Mien, stream"}
    clips = list(next(iter(comparison.steadiness.values())))
    rows = [
        [titles[name], *(_cell(by_clip[clip]) for clip in clips)] for name, by_clip in comparison.steadiness.items()
    ]
    yield table(["", *clips], rows)


def _cell(measured: Steadiness) -> str:
    values = (measured.gender_flips, measured.emotion_flips, measured.age_std)
    cell = " / ".join("-" if value is None else f"{value:g}" for value in values)
    missing = measured.frames - measured.found
    return f"{cell} ({missing} frames without a face)" if missing else cell
