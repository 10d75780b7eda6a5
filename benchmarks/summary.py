"""Summarise results: ratios between systems, taken within each round, with median and spread."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import median

from load import Metrics
from measurements import Results
from session import Session
from systems import SYSTEMS

IN_FLIGHT = 16
"""Concurrent calls at which systems are compared."""

SHARE = 0.8
"""Load, as a fraction of the capacity, at which tail latency is compared."""

PAPER_MS = {"age": 547.0, "gender": 378.0, "emotion": 464.0}
"""Mean times for one image on an Intel Core i5-4570, from the paper's tables."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A metric over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread | None":
        """Return the spread of the values, or None without values."""
        listed = [round(value, 3) for value in values]
        return cls(median(listed), min(listed), max(listed)) if listed else None


def closed(session: Session, in_flight: int = IN_FLIGHT) -> Metrics:
    """Return a session's closed loop."""
    return next(run for run in session.runs if run.in_flight == in_flight)


def opened(session: Session, share: float = SHARE) -> Metrics:
    """Return a session's open loop."""
    return next(run for run in session.runs if run.share == share)


def spread(results: Results, system: str, metric: Callable[[Session], float]) -> Spread | None:
    """Return a metric of one system over the rounds."""
    return Spread.of(metric(session) for session in results.sessions(system).values())


def compared(
    results: Results, one: str, others: Sequence[str], compare: Callable[[Session, Sequence[Session]], float]
) -> Spread | None:
    """Compare a system with others in each round that has it and at least one of them."""
    sessions = {name: results.sessions(name) for name in others}
    return Spread.of(
        compare(session, against)
        for number, session in results.sessions(one).items()
        if (against := [found[number] for found in sessions.values() if number in found])
    )


def summarize(results: Results) -> dict[str, object]:
    """Return the summary; systems that were not measured are omitted."""
    peers = [system.name for system in SYSTEMS if system.kind == "peer"]
    metrics = {
        "single_over_baseline": compared(results, "single", ["baseline"], _throughput),
        "cluster_over_single": compared(results, "cluster", ["single"], _throughput),
        "cluster_cpu_over_single": compared(results, "cluster", ["single"], _cpu),
        "cluster_p50_minus_single_ms": compared(results, "cluster", ["single"], _p50_minus),
        "single_over_best_peer": compared(results, "single", peers, _throughput),
        "cluster_over_plain_ray": compared(results, "cluster", ["plain_ray"], _throughput),
        "p99_over_p50": _worse_tail(results),
    }
    return {
        "quick": results.quick,
        **{name: asdict(metric) for name, metric in metrics.items() if metric},
        "cpu_ms_per_face": {
            system.name: growth for system in SYSTEMS if (growth := _growth(results, system.name)) is not None
        },
        "paper": _paper(results),
    }


def tail(session: Session) -> float:
    """Return p99 over p50 of the open loop at `SHARE`."""
    run = opened(session)
    return run.p99_ms / run.p50_ms


def cpu_ms_per_face(results: Results, system: str) -> dict[int, Spread]:
    """Return CPU milliseconds per face by the faces in the image."""
    metrics = {
        picture.faces: spread(results, system, _per_face(index, picture.faces))
        for index, picture in enumerate(results.groups)
    }
    return {faces: metric for faces, metric in metrics.items() if metric}


def _per_face(group: int, faces: int) -> Callable[[Session], float]:
    return lambda session: session.growth[group].cpu_ms_per_request / faces


def _throughput(session: Session, others: Sequence[Session]) -> float:
    return closed(session).requests_per_second / max(closed(other).requests_per_second for other in others)


def _cpu(session: Session, others: Sequence[Session]) -> float:
    return closed(session).cpu_ms_per_request / closed(others[0]).cpu_ms_per_request


def _p50_minus(session: Session, others: Sequence[Session]) -> float:
    return closed(session, 1).p50_ms - closed(others[0], 1).p50_ms


def _worse_tail(results: Results) -> Spread | None:
    """Return the tail latency of single or cluster, whichever has the higher median."""
    tails = [metric for name in ("single", "cluster") if (metric := spread(results, name, tail))]
    return max(tails, key=lambda metric: metric.median, default=None)


def _growth(results: Results, system: str) -> Mapping[str, object] | None:
    by_faces = cpu_ms_per_face(results, system)
    medians = [by_faces[faces].median for faces in sorted(by_faces)]
    if not medians:
        return None
    falling = all(more < fewer for fewer, more in pairwise(medians))
    return {**{str(faces): asdict(metric) for faces, metric in by_faces.items()}, "falling": falling}


def _paper(results: Results) -> dict[str, object]:
    """Return the paper's time per face and ours: single, one face in the image, one call at a time."""
    ours = spread(results, "single", lambda session: session.growth[0].p50_ms)
    paper: dict[str, object] = {"ms_per_face": sum(PAPER_MS.values()), **PAPER_MS, "machine": "Intel Core i5-4570"}
    if ours:
        paper |= {"ours_ms_per_face": asdict(ours), "our_machine": results.machine.processor}
    return paper
