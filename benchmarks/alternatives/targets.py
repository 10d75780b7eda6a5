"""Compare Mien's accuracy with its targets: ahead of every alternative on each measure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from alternatives.accuracy_tables import MEASURES, heading, lead, mean, of_all, scored, standing, verdict
from alternatives.catalog import MIEN
from alternatives.results import Comparison
from alternatives.scoring import KnownPhotographs

PHOTOGRAPHS_FOUND = "photographs, faces found"
PHOTOGRAPHS_FALSE = "photographs, false boxes"
PHOTOGRAPHS_GENDER = "photographs, genders of portraits right"


@dataclass(frozen=True, slots=True)
class Target:
    """One row of the table of targets."""

    measure: str
    name: str
    target: str
    measured: str
    met: bool


def measure_targets(comparison: Comparison) -> Iterator[Target]:
    """Yield a row for each measure that an alternative has."""
    for name in MEASURES:
        mine = comparison.accuracy["mien"].figures[name]
        others = standing(comparison, name)
        if others:
            system, best = others[0]
            better = [
                f"{other.title} {mean(name, item.paired.system)} against {mean(name, item.paired.mien)}"
                + (" (level)" if verdict(name, item) == "level" else "")
                for other, item in others
                if item.paired and (lead(name, item) or 0) < 0
            ]
            text = f"over all {of_all(name, mine)}, best alternative {of_all(name, best)} ({system.title})"
            shared = f"; behind on shared faces: {', '.join(better)}" if better else "; ahead on shared faces"
            yield Target(name, heading(name), "ahead", text + shared, mine.of_all > best.of_all and not better)


def photograph_targets(comparison: Comparison) -> Iterator[Target]:
    """Yield the rows of the known photographs."""
    metrics: dict[str, tuple[bool, Callable[[KnownPhotographs], int]]] = {
        PHOTOGRAPHS_FOUND: (False, lambda item: item.found),
        PHOTOGRAPHS_FALSE: (False, lambda item: -item.surplus - item.no_face_boxes),
        PHOTOGRAPHS_GENDER: (True, lambda item: item.genders_right),
    }
    for name, (gender, metric) in metrics.items():
        values = {
            system.title: metric(accuracy.photographs)
            for system, accuracy in scored(comparison)
            if not gender or "gender" in system.tasks
        }
        mine = values.pop(MIEN.title)
        if values:
            best = max(values, key=lambda title: values[title])
            text = f"{abs(mine)}, best alternative {abs(values[best])} ({best})"
            yield Target(name, heading(name), "ahead", text, mine > values[best])
