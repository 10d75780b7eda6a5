"""Measure CPU time per crop by batch size, and the best batch size for each model's specification.

python benchmarks/batches.py --out benchmarks/results/batches.json

The overhead of a call (`--call-ms`: the cost of a hop to a worker, independent of its content) is shared by its crops.
The best batch is the smallest whose cost per crop is within 5 % of the lowest: larger ones only add latency.
"""

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import weights
from mien_models.registry import Entry, Registry
from mien_models.runtimes import load

_BATCHES = (1, 2, 4, 8, 16, 32, 64)
_NEAR = 1.05


def main(
    out: Annotated[Path, typer.Option(help="Result file.")],
    call_ms: Annotated[float, typer.Option(help="CPU milliseconds of overhead per call.")] = 3.0,
    repeat: Annotated[int, typer.Option(help="Measurements per batch size; the fastest counts.")] = 8,
) -> None:
    """Measure every model of the package through ONNX Runtime, on one thread."""
    results = {}
    for entry in Registry().entries():
        alone = {batch: _milliseconds(entry, batch, repeat) for batch in _BATCHES}
        shared = {batch: alone[batch] + call_ms / batch for batch in _BATCHES}
        best = min(batch for batch, cost in shared.items() if cost <= _NEAR * min(shared.values()))
        results[entry.spec.name] = {
            "cpu_ms_a_crop": {str(batch): round(cost, 3) for batch, cost in alone.items()},
            "best_batch": best,
        }
        print(f"{entry.spec.name}: best batch {best}, in the specification {entry.spec.best_batch}")
    document = {
        "command": " ".join(["python", *sys.argv]),
        "weights": weights.shipped(),
        "call_ms": call_ms,
        "models": results,
    }
    out.write_text(json.dumps(document, indent=2) + "\n")


def _milliseconds(entry: Entry, batch: int, repeat: int) -> float:
    """Return the CPU time per crop at a batch size."""
    size = entry.spec.crop.size
    crops = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), np.uint8)
    model = load(entry, next(iter(entry.spec.heads)))
    model.predict(crops)
    times = []
    for _ in range(repeat):
        started = time.process_time()
        model.predict(crops)
        times.append(time.process_time() - started)
    return 1e3 * min(times) / batch


if __name__ == "__main__":
    typer.run(main)
