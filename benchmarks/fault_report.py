"""Write the results of `faults.py` into the documents: a table in `docs/serving.md`, and a plot."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import pyplot

_DOCS = Path(__file__).parent.parent / "docs"
PAGE = _DOCS / "serving.md"
BEGIN, END = "<!-- faults: begin -->\n", "<!-- faults: end -->"

_WORKER_S = 0.5
"""Accepted length of the longest call above the normal p99 if a worker fails, in seconds."""

_ORCHESTRATOR_S = 2.0
"""Accepted length of the longest call if an orchestrator fails, in seconds."""

FAILED = 9
"""What a call's record has instead of a number of missing tasks if it failed."""

_KINDS = {
    "complete": ("#2a7f62", range(1)),
    "a task is missing": ("#c58b00", range(1, FAILED)),
    "failed": ("#b00020", range(FAILED, 2 * FAILED)),
}
"""Colour of each kind of call, and its numbers of missing tasks."""


def write(document: dict[str, Any]) -> None:
    """Write the table and the plot."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}{table(document)}\n{END}{after}", encoding="utf-8")
    _draw(document, _DOCS / "faults.svg")


def table(document: dict[str, Any]) -> str:
    """Return the table of the result file in Markdown."""
    normal = document["normal_ms"]
    lines = ["| fault | longest call | target | failed | partial, of all calls | complete again after |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for name in dict.fromkeys(row["fault"] for row in document["faults"]):
        rows = [row for row in document["faults"] if row["fault"] == name]
        worker = rows[0]["deployment"] != "orchestrator"
        target = normal["p99"] / 1e3 + _WORKER_S if worker else _ORCHESTRATOR_S
        longest = [row["longest_s"] for row in rows]
        lines.append(
            f"| {name} | {_range(longest, 2)} s | {target:.2f} s{'' if max(longest) <= target else ': **missed**'} "
            f"| {sum(row['failed'] for row in rows)} | {sum(row['partial'] for row in rows)} of "
            f"{sum(row['calls_since'] for row in rows):,} | {_range([row['whole_after_s'] for row in rows], 1)} s |"
        )
    return "\n".join(lines)


def _range(values: Sequence[float], digits: int) -> str:
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{low}-{high}"


def _draw(document: dict[str, Any], path: Path) -> None:
    """Draw the first round of every fault: each call at its end, with its length."""
    pyplot.rcParams["svg.hashsalt"] = "mien"
    rows = [row for row in document["faults"] if row["round"] == 0]
    figure, axes = pyplot.subplots(len(rows), 1, figsize=(8, 1.7 * len(rows)), layout="constrained", squeeze=False)
    for axis, row in zip(axes[:, 0], rows, strict=True):
        for label, (colour, missing) in _KINDS.items():
            chosen = [(ended, 1e3 * seconds) for ended, seconds, lack in row["calls"] if lack in missing]
            axis.scatter([x for x, _ in chosen], [y for _, y in chosen], s=5, color=colour, label=label)
        axis.axvline(0, color="#444444", linewidth=0.8)
        axis.set_yscale("log")
        axis.set_ylabel("ms")
        axis.set_title(row["fault"], loc="left", fontsize=10)
    axes[0, 0].legend(loc="upper right", ncols=3, fontsize=8, frameon=False)
    axes[-1, 0].set_xlabel("seconds since the fault")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
