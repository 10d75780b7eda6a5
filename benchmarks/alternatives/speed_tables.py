"""Tables of speed, memory, size and throughput."""

from collections.abc import Callable, Iterable
from statistics import median

from alternatives.catalog import ALL_TASKS, ALTERNATIVES, MIEN, SYSTEMS, Alternative
from alternatives.results import Comparison, Run, Timing
from alternatives.samples import PHOTOGRAPHS
from summary import Spread
from tables import spread_cell, table


def speed_ratio(comparison: Comparison) -> tuple[Alternative, Spread] | None:
    """Return the fastest alternative with all three answers, and its CPU time over Mien's, taken in each round."""
    ratios = {
        system: ratio
        for system in ALTERNATIVES
        if system.tasks == ALL_TASKS and (ratio := cpu_ratio(comparison, system.name, people=1))
    }
    return min(ratios.items(), key=lambda item: item[1].median, default=None)


def speed_text() -> str:
    """Return the description of the speed measurement."""
    return (
        "One photograph at a time, from the path of a file to the predictions, with reading and decoding: photographs "
        "of NASA, 1024 pixels wide, of one and of six people. The systems ran in turn, once in each round. Values are "
        "medians, with lowest and highest round in parentheses; *found* is the number of faces in the answer. The "
        "first answer includes the start of the process. Size is of the installed packages, with models and without "
        "the interpreter."
    )


def speed_table(comparison: Comparison) -> str:
    """Return the table of speed, memory and size."""
    rows = []
    for system in measured(comparison):
        runs = runs_of(comparison, system.name)
        rows.append(
            [
                _title(system),
                " ".join(system.tasks) or "boxes only",
                *(_timing(runs, people, lambda item: item.milliseconds) for people in PHOTOGRAPHS),
                *(_timing(runs, people, lambda item: item.cpu_ms) for people in PHOTOGRAPHS),
                " / ".join(str(_of(runs[-1], people).found) for people in PHOTOGRAPHS),
                _ratio_cell(comparison, system),
                _spread(run.first_answer_s for run in runs),
                _spread(run.memory_mib for run in runs),
                f"{comparison.size_mib[system.name]:,.0f}",
            ]
        )
    headings = [
        "system",
        "answers",
        "ms, 1 face",
        "ms, 6 faces",
        "CPU ms, 1 face",
        "CPU ms, 6 faces",
        "found",
        "CPU over Mien's, 1 face",
        "first answer, s",
        "memory, MiB",
        "size, MiB",
    ]
    return table(headings, rows)


def throughput(comparison: Comparison) -> Iterable[str]:
    """Yield the table of servers with calls in flight, if any were measured."""
    if comparison.throughput:
        yield "Servers, with 16 calls in flight and the same photograph of one person, on both cores:"
        rows = []
        for name in dict.fromkeys(item.system for item in comparison.throughput):
            items = [item for item in comparison.throughput if item.system == name]
            rows.append(
                [
                    name,
                    _spread(item.requests_per_second for item in items),
                    _spread(item.cpu_ms_per_request for item in items),
                ]
            )
        yield table(["server", "requests/s", "CPU ms per request"], rows)
        yield "The other systems have no server."


def measured(comparison: Comparison) -> list[Alternative]:
    """Return the systems whose speed was measured."""
    return [system for system in SYSTEMS if runs_of(comparison, system.name)]


def runs_of(comparison: Comparison, name: str) -> list[Run]:
    """Return a system's runs."""
    return [run for run in comparison.runs if run.system == name]


def cpu_ratio(comparison: Comparison, name: str, people: int) -> Spread | None:
    """Return a system's CPU time over Mien's, taken in each round, or None if it was not measured."""
    mine = {run.round: median(_of(run, people).cpu_ms) for run in runs_of(comparison, "mien")}
    return Spread.of(
        median(_of(run, people).cpu_ms) / mine[run.round] for run in runs_of(comparison, name) if run.round in mine
    )


def _of(run: Run, people: int) -> Timing:
    return next(item for item in run.timings if item.faces == people)


def _timing(runs: list[Run], people: int, values: Callable[[Timing], list[float]]) -> str:
    return _spread(median(values(_of(run, people))) for run in runs)


def _ratio_cell(comparison: Comparison, system: Alternative) -> str:
    ratio = cpu_ratio(comparison, system.name, people=1)
    return spread_cell(ratio) if ratio and system is not MIEN else ""


def _spread(values: Iterable[float]) -> str:
    spread = Spread.of(values)
    return spread_cell(spread) if spread else ""


def _title(system: Alternative) -> str:
    return f"{system.title} (random weights)" if system.random_weights else system.title
