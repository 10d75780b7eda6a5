"""Cores for a rate of requests, from measured CPU milliseconds; writes the table of docs/deploy.md.

python benchmarks/sizing.py
"""

import json
from pathlib import Path

_ROOT = Path(__file__).parent.parent
_RESULTS = _ROOT / "benchmarks" / "results" / "serving.json"
_GUIDE = _ROOT / "docs" / "deploy.md"
_BEGIN, _END = "<!-- sizing: begin -->\n", "<!-- sizing: end -->"

_RATES = (1, 10, 50, 200)
_UTILISATION = 0.7
"""Share of a core that is planned to be busy; the rest is for bursts."""


def table(results: Path = _RESULTS) -> str:
    """Return the table, in Markdown."""
    measured = json.loads(results.read_text())
    lines = [
        "| shape | calls in flight | CPU ms a request | " + " | ".join(f"{rate} requests/s" for rate in _RATES) + " |",
        "| --- " * (3 + len(_RATES)) + "|",
    ]
    for name, runs in measured["results"].items():
        shape, in_flight = name.removesuffix(" in flight").split(", ")
        cost = max(run["cpu_ms_per_request"] for run in runs)
        cores = [f"{rate * cost / 1e3 / _UTILISATION:.1f} cores" for rate in _RATES]
        lines.append(f"| {shape} | {in_flight} | {cost} | " + " | ".join(cores) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Put the table between its marks."""
    before, _, rest = _GUIDE.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    _GUIDE.write_text(before + _BEGIN + table() + _END + after)


if __name__ == "__main__":
    main()
