"""Compute cores for a request rate from measured CPU time; writes the table of docs/deploy.md.

python benchmarks/sizing.py
"""

from pathlib import Path

from measurements import Results
from summary import Spread, closed, spread

_ROOT = Path(__file__).parent.parent
_RESULTS = _ROOT / "benchmarks" / "results" / "systems.json"
_GUIDE = _ROOT / "docs" / "deploy.md"
_BEGIN, _END = "<!-- sizing: begin -->\n", "<!-- sizing: end -->"

_MODES = ("single", "cluster")
_IN_FLIGHT = (1, 16)
_RATES = (1, 10, 50, 200)
_UTILISATION = 0.7
"""Planned utilisation of a core; the rest is for bursts."""


def table(results: Results) -> str:
    """Return the table as Markdown."""
    lines = [
        "| deployment mode | calls in flight | CPU ms per request | "
        + " | ".join(f"{rate} requests/s" for rate in _RATES)
        + " |",
        "| --- " * (3 + len(_RATES)) + "|",
    ]
    for in_flight in _IN_FLIGHT:
        for mode in _MODES:
            cost = _cpu_ms(results, mode, in_flight).median
            cores = [f"{rate * cost / 1e3 / _UTILISATION:.1f} cores" for rate in _RATES]
            lines.append(f"| {mode} | {in_flight} | {cost:.1f} | " + " | ".join(cores) + " |")
    return "\n".join(lines) + "\n"


def _cpu_ms(results: Results, mode: str, in_flight: int) -> Spread:
    found = spread(results, mode, lambda session: closed(session, in_flight).cpu_ms_per_request)
    if found is None:
        raise SystemExit(f"{_RESULTS.name} does not contain {mode}: run benchmarks/serving.py with it")
    return found


def main() -> None:
    """Update the table between its marks."""
    before, _, rest = _GUIDE.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    _GUIDE.write_text(before + _BEGIN + table(Results.read(_RESULTS)) + _END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
