"""Write docs/comparison.md, published systems and ours side by side, from the committed result files.

python -m mien_training.reports.comparison
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien_models.catalog import PUBLISHED
from mien_models.registry import DEFAULTS
from mien_models.spec import Task
from mien_training.results import collection, provenance

DOCUMENT = provenance.ROOT / "docs" / "comparison.md"

_Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure that systems are compared by."""

    title: str
    task: Task
    at: tuple[_Path, ...]
    """Where it lies in the result files: data set, then keys; a second one is told behind a stroke."""
    floor: tuple[float, ...]
    aim: tuple[float, ...]
    """Empty where none is set."""
    best: str
    """The best published system on the same data that we know of, whose figure is the aim, with its source."""
    show: Callable[[float], str] = "{:.1%}".format
    least: bool = False
    """Whether less is better."""

    def of(self, name: str) -> tuple[float, ...]:
        """Return a model's figures, empty where it was not measured."""
        found = collection.figures(name)
        told = [_follow(found.get(data, {}).get("metrics", {}), keys) for data, *keys in self.at]
        return tuple(value for value in told if value is not None)

    def text(self, values: Sequence[float]) -> str:
        """Return figures for a cell of the table."""
        return " / ".join(self.show(value) for value in values) or "-"

    def reached(self, told: Sequence[float], wanted: Sequence[float]) -> bool:
        """Say whether every figure for which something is wanted is at least as good."""
        pairs = zip(told, wanted, strict=False)
        return all(value <= bar if self.least else value >= bar for value, bar in pairs)


_MIVOLO = "MiVOLO, 30 M parameters (Kuprashevich & Tolstykh, arXiv 2307.04616)"

MEASURES = (
    Measure(
        "emotion, FER2013",
        "emotion",
        (("fer2013", "emotion", "fer", "accuracy"),),
        (0.68,),
        (0.733,),
        "single VGG variant (Khaireddin & Chen, arXiv 2105.03588)",
    ),
    Measure(
        "emotion, FER+",
        "emotion",
        (("fer2013", "emotion", "ferplus", "accuracy"),),
        (0.82,),
        (0.89,),
        "Self-Cure Network, 89.35 % on eight classes (Wang et al., arXiv 2002.10392)",
    ),
    Measure("gender, FairFace", "gender", (("fairface", "gender", "accuracy"),), (0.89,), (0.957,), _MIVOLO),
    Measure(
        "gender, FairFace, worst race group",
        "gender",
        (("fairface", "gender", "worst_race", "accuracy"),),
        (0.82,),
        (),
        "none known for this split",
    ),
    Measure(
        "gender, UTKFace from 13 years on",
        "gender",
        (("utkface", "gender", "age_13_up", "accuracy"),),
        (0.94,),
        (0.977,),
        f"{_MIVOLO}, all ages",
    ),
    Measure(
        "age, UTKFace, mean error in years",
        "age",
        (("utkface", "age", "exact", "mae"),),
        (5.8,),
        (4.23,),
        _MIVOLO,
        "{:.2f}".format,
        least=True,
    ),
    Measure(
        "age, FairFace bins: hit / within one",
        "age",
        (("fairface", "age", "bins", "hit"), ("fairface", "age", "bins", "hit_within_one")),
        (0.48, 0.87),
        (0.61,),
        _MIVOLO,
    ),
)

_ABOUT = """# Mien's models beside published ones

Made by `python -m mien_training.reports.comparison` from the files in `models/results`; how those are made is in
[models/training/README.md](../models/training/README.md), and each model's [card](../models/cards) has its figures by
group, calibration, steadiness and terms.

Everything measured here is on the `val` parts of the same labelled faces, through ONNX Runtime. `val` also chose and
calibrated Mien's models, so their figures are a little flattered; published networks whose training data held some of
the same pictures (FER2013) are flattered too. The aims are figures of papers, measured on the data sets' own test
parts, mostly by far larger networks.
"""

_SYSTEMS = """## Every network, measured on the same faces

Names that end with `-published` are the authors' own weights, brought in by `mien models import`. Those for age and
gender learned from wider crops than these chips are, so the chips' edges are repeated up to that width (1.8 heights of
the face box), at which those that were tried both ways did better. The others were trained here. Milliseconds are of
processor time, for one face on one thread, all in one run.
"""


def comparison() -> str:
    """Return the document."""
    parts = [_ABOUT, "## Against what was aimed at", _verdicts(), _SYSTEMS, _systems()]
    return "\n".join(part if part.endswith("\n") else f"{part}\n" for part in parts)


def _verdicts() -> str:
    """Return one row a measure: the default model against floor, aim and the best published network measured here."""
    rows: list[Sequence[str]] = [
        ("measure", "Mien's default", "floor", "aim", "best published network here", "best published system, source")
    ]
    for measure in MEASURES:
        name = DEFAULTS[measure.task]
        told = measure.of(name)
        rows.append(
            (
                measure.title,
                f"{measure.text(told)} ({name})",
                _verdict(measure, told, measure.floor),
                _verdict(measure, told, measure.aim),
                _best_here(measure),
                measure.best,
            )
        )
    return _table(rows)


def _verdict(measure: Measure, told: Sequence[float], wanted: Sequence[float]) -> str:
    if not wanted:
        return "-"
    return f"{measure.text(wanted)}: {'met' if told and measure.reached(told, wanted) else 'missed'}"


def _best_here(measure: Measure) -> str:
    told = [(measure.of(name), name) for name in PUBLISHED]
    told = [(values, name) for values, name in told if values]
    if not told:
        return "-"
    values, name = (min if measure.least else max)(told)
    return f"{measure.text(values)} ({name})"


def _systems() -> str:
    """Return one row a network: every measure, then milliseconds, parameters and bytes."""
    ours = [entry.spec.name for entry in collection.entries()]
    names = [*ours, *(name for name in PUBLISHED if collection.figures(name))]
    rows: list[Sequence[str]] = [
        ("network", *(measure.title for measure in MEASURES), "milliseconds", "parameters", "bytes")
    ]
    rows += [(name, *(measure.text(measure.of(name)) for measure in MEASURES), *_cost(name)) for name in names]
    return _table(rows)


def _cost(name: str) -> tuple[str, str, str]:
    told = collection.cost(name)
    if not told:
        return "-", "-", "-"
    slowest = max(times["1"] for times in told["milliseconds"].values())
    return f"{slowest:.2f}", f"{told['parameters']:,}", f"{told['bytes']:,}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]])


def _follow(tree: Any, keys: Sequence[str]) -> float | None:
    for key in keys:
        tree = tree.get(key, {})
    return tree if isinstance(tree, float | int) else None


def documents() -> dict[Path, str]:
    """Return the document by its path."""
    return {DOCUMENT: comparison()}


if __name__ == "__main__":
    provenance.write(documents())
