"""Score the answers of all systems alike: each measure has one outcome for each sample.

An outcome is 1 or 0 for a right or wrong answer, the absolute error in years for an age, and None for a sample without
an answer: its face was not found, or the system does not decide.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from alternatives.driving import Answer, Face
from alternatives.samples import Photograph, Sample

Box = tuple[float, float, float, float]
Outcomes = list[float | None]

FER2013 = "emotion, FER2013"
FER_PLUS = "emotion, FER+"
FAIRFACE = "gender, FairFace"
UTKFACE = "gender, UTKFace from 13 years on"
AGE = "age, UTKFace"

CLOSE_YEARS = 5.0
"""Error up to which an age counts as right in `Figure.of_all`."""
_YOUNGEST = 13


@dataclass(frozen=True, slots=True)
class Paired:
    """A system and Mien on the faces that both answered."""

    samples: int
    system: float
    mien: float
    error: float
    """Standard error of the difference of the means."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure of one system."""

    samples: int
    answered: int
    mean: float
    """Accuracy, or mean absolute error in years, over the answered samples."""
    of_all: float
    """Right answers over all samples; for ages, errors of at most 5 years."""
    paired: Paired | None = None


@dataclass(frozen=True, slots=True)
class Detection:
    """Faces found in the pictures of one data set."""

    faces: int
    found: int
    surplus: int
    """Boxes that are on no face."""


@dataclass(frozen=True, slots=True)
class KnownPhotographs:
    """Faces and genders of the known photographs."""

    faces: int
    found: int
    surplus: int
    """Boxes beyond the number of faces, in photographs with faces."""
    no_face_boxes: int
    """Boxes in photographs without a face."""
    portraits: int
    portraits_found: int
    genders_right: int
    genders_wrong: int
    """Wrong genders that the system does not mark as uncertain."""
    cpu_ms: list[float] = field(default_factory=list)
    """CPU milliseconds of each portrait of one person."""


def match(box: Box, faces: Sequence[Face]) -> Face | None:
    """Return the face whose box lies on `box`: each contains the other's centre; the nearest of several."""
    candidates = [face for face in faces if _contains(box, _centre(face.box)) and _contains(face.box, _centre(box))]
    return min(candidates, key=lambda face: math.dist(_centre(face.box), _centre(box)), default=None)


def detection(samples: Sequence[Sample], answers: Sequence[Answer]) -> Detection:
    """Count found faces and surplus boxes."""
    found = [match(sample.box, answer.faces) is not None for sample, answer in zip(samples, answers, strict=True)]
    boxes = sum(len(answer.faces) for answer in answers)
    return Detection(len(samples), sum(found), boxes - sum(found))


def outcomes(samples: Sequence[Sample], answers: Sequence[Answer]) -> dict[str, Outcomes]:
    """Return the outcomes of every measure; samples without the measure's label are left out."""
    matched = [match(sample.box, answer.faces) for sample, answer in zip(samples, answers, strict=True)]
    pairs = list(zip(samples, matched, strict=True))
    result = {
        FER2013: _score(pairs, lambda sample: sample.emotion, lambda face: face.emotion),
        FER_PLUS: _score(pairs, lambda sample: sample.majority, lambda face: face.emotion),
    }
    fairface = [pair for pair in pairs if pair[0].data == "fairface"]
    for group in (None, *sorted({sample.race for sample, _ in fairface if sample.race})):
        of_group = [pair for pair in fairface if group in (None, pair[0].race)]
        name = f"{FAIRFACE}, {group}" if group else FAIRFACE
        result[name] = _score(of_group, lambda sample: sample.gender, lambda face: face.gender)
    utkface = [pair for pair in pairs if pair[0].data == "utkface"]
    adults = [pair for pair in utkface if (pair[0].age or 0) >= _YOUNGEST]
    result[UTKFACE] = _score(adults, lambda sample: sample.gender, lambda face: face.gender)
    result[AGE] = [
        abs(face.age - sample.age) if face and face.age is not None else None
        for sample, face in utkface
        if sample.age is not None
    ]
    return {name: values for name, values in result.items() if values}


def figures(system: Mapping[str, Outcomes], mien: Mapping[str, Outcomes]) -> dict[str, Figure]:
    """Return a system's metrics, each with the comparison with Mien on the same faces."""
    return {
        name: figure(name, values, mien[name])
        for name, values in system.items()
        if any(value is not None for value in values)
    }


def figure(name: str, values: Outcomes, mien: Outcomes) -> Figure:
    """Return one measure, which has at least one answer."""
    known = [value for value in values if value is not None]
    right = sum(value <= CLOSE_YEARS for value in known) if name == AGE else sum(known)
    both = [(one, other) for one, other in zip(values, mien, strict=True) if one is not None and other is not None]
    return Figure(len(values), len(known), _mean(known), right / len(values), _paired(both) if both else None)


def known_photographs(photographs: Sequence[Photograph], answers: Sequence[Answer]) -> KnownPhotographs:
    """Count faces and right genders of the known photographs."""
    pairs = list(zip(photographs, answers, strict=True))
    counts = [(photograph.faces, len(answer.faces)) for photograph, answer in pairs]
    portraits = [(photograph, answer) for photograph, answer in pairs if photograph.box]
    matched = [(photograph.sex, match(photograph.box, answer.faces)) for photograph, answer in portraits]  # type: ignore[arg-type]
    return KnownPhotographs(
        faces=sum(faces for faces, _ in counts),
        found=sum(min(faces, boxes) for faces, boxes in counts),
        surplus=sum(max(0, boxes - faces) for faces, boxes in counts if faces),
        no_face_boxes=sum(boxes for faces, boxes in counts if not faces),
        portraits=len(portraits),
        portraits_found=sum(face is not None for _, face in matched),
        genders_right=sum(face is not None and face.gender == sex for sex, face in matched),
        genders_wrong=sum(
            face is not None and face.gender not in (None, sex) and not face.uncertain for sex, face in matched
        ),
        cpu_ms=[answer.cpu_ms for _, answer in portraits],
    )


def worst_group(found: Mapping[str, Figure]) -> tuple[str, Figure] | None:
    """Return the race group with the lowest accuracy over all of its faces, if there are groups."""
    groups = {
        name.removeprefix(f"{FAIRFACE}, "): item for name, item in found.items() if name.startswith(f"{FAIRFACE}, ")
    }
    return min(groups.items(), key=lambda item: item[1].of_all, default=None)


def _score(
    pairs: Sequence[tuple[Sample, Face | None]],
    label: Callable[[Sample], str | None],
    predicted: Callable[[Face], str | None],
) -> Outcomes:
    result: Outcomes = []
    for sample, face in pairs:
        if label(sample) is not None:
            value = predicted(face) if face else None
            result.append(None if value is None else float(value == label(sample)))
    return result


def _paired(both: Sequence[tuple[float, float]]) -> Paired:
    differences = [one - other for one, other in both]
    middle = _mean(differences)
    variance = sum((value - middle) ** 2 for value in differences) / max(1, len(differences) - 1)
    system, mien = (_mean([pair[side] for pair in both]) for side in (0, 1))
    return Paired(len(both), system, mien, math.sqrt(variance / len(both)))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _centre(box: Box) -> tuple[float, float]:
    x, y, width, height = box
    return x + width / 2, y + height / 2


def _contains(box: Box, point: tuple[float, float]) -> bool:
    x, y, width, height = box
    return x <= point[0] <= x + width and y <= point[1] <= y + height
