"""Record replicas and nodes under changing load, with the scenario of tests/clusters, as JSON and as a plot.

python -m benchmarks.autoscaling
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from matplotlib import pyplot
from tests.clusters.sandbox import run

_ROOT = Path(__file__).parent.parent
_RESULTS = _ROOT / "benchmarks" / "results" / "autoscaling.json"
_PICTURE = _ROOT / "docs" / "autoscaling.svg"

_ROWS = {
    "emotion": ("emotion", "emotion nodes"),
    "orchestrator": ("orchestrator", "frontend nodes"),
    "age": ("age", "cpu nodes"),
    "gender": ("gender", "cpu nodes"),
}
"""A deployment and the node group that it runs on."""


def main() -> None:
    """Run the scenario; write the result file and the plot."""
    with tempfile.TemporaryDirectory() as folder:
        result = run("autoscaling", Path(folder), timeout=800)
    _RESULTS.write_text(json.dumps({"command": "python -m benchmarks.autoscaling", **result}, indent=1) + "\n")
    draw(result, _PICTURE)


def draw(result: dict[str, Any], path: Path) -> None:
    """Plot one row per deployment: replicas as an area, nodes of its group as a line, over seconds."""
    samples = result["samples"]
    seconds = [sample["at"] for sample in samples]
    pyplot.rcParams["svg.hashsalt"] = "mien"
    figure, rows = pyplot.subplots(len(_ROWS), sharex=True, figsize=(9, 5.5), layout="constrained")
    for row, (name, (replicas, nodes)) in zip(rows, _ROWS.items(), strict=True):
        row.fill_between(seconds, [sample[replicas] for sample in samples], step="post", alpha=0.4, label="replicas")
        row.step(seconds, [sample[nodes] for sample in samples], where="post", color="black", label="nodes")
        row.set_ylabel(name)
        row.set_ylim(0, 2.4)
        row.set_yticks([0, 1, 2])
        for at, _ in result["marks"]:
            row.axvline(at, color="grey", linewidth=0.8, linestyle="dotted")
    for at, what in result["marks"]:
        rows[0].annotate(what, (at, 2.4), rotation=20, fontsize=8, annotation_clip=False)
    rows[-1].set_xlabel("seconds")
    rows[0].legend(loc="upper right", fontsize=8)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
