"""CSV output with one row per face. The column names are part of the command's interface."""

import csv
import sys
from collections.abc import Iterator, Sequence

from mien.types.analysis import Analysis
from mien.types.face import Face

COLUMNS = (
    *("source", "face", "x", "y", "width", "height", "detection_score"),
    *("age_years", "age_low", "age_high", "gender", "gender_probability", "emotion", "emotion_probability"),
    *("mood", "valence", "arousal", "sharpness", "abstained"),
)
"""`face` counts from 1, largest first; the box is in pixels of the upright image; values not estimated are empty.
`abstained` holds the reasons, such as `face_too_small`, separated by `+`."""


def rows_of(name: str, analysis: Analysis) -> Iterator[tuple[object, ...]]:
    """Yield one row per face, with one value per column."""
    for index, face in enumerate(analysis.faces):
        yield (name, index + 1, *_values(face))


def print_row(row: Sequence[object]) -> None:
    """Print a row to standard output and flush it."""
    csv.writer(sys.stdout, lineterminator="\n").writerow(row)
    sys.stdout.flush()


def _values(face: Face) -> tuple[object, ...]:
    box, age, gender, emotion, mood = face.box, face.age, face.gender, face.emotion, face.mood
    return (
        *(round(value, 1) for value in (box.x, box.y, box.width, box.height)),
        _rounded(face.detection_score),
        *((round(age.years, 1), round(age.low, 1), round(age.high, 1)) if age else ("", "", "")),
        *((gender.value, _rounded(gender.probability)) if gender else ("", "")),
        *((emotion.label, _rounded(emotion.probability)) if emotion else ("", "")),
        *((mood.label, _rounded(mood.valence), _rounded(mood.arousal)) if mood else ("", "", "")),
        _rounded(face.quality.sharpness),
        "+".join(face.abstained_reasons) or ("yes" if face.abstained else ""),
    )


def _rounded(value: float | None) -> float | str:
    return "" if value is None else round(value, 4)
