"""Compare INT8 and half-precision variants of the default models with the shipped ones.

Run from the repository's root:

    python -m mien_training.evaluation.quantization --data ../shared/data --out models/results/quantization.json

A variant is worth shipping only if it is faster on one thread and no less accurate on `val`. Both variants fold the
normalisation into the convolutions, once for the face and once for its mirror image, so their weights are stored twice.
"""

import dataclasses
import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import onnx
import typer
from numpy.typing import NDArray
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from mien_models import runtimes
from mien_models.errors import ModelError
from mien_models.export.int8 import CALIBRATION_FACES, quantize
from mien_models.registry import DEFAULTS, TASKS, Entry, Registry
from mien_models.spec import Task
from mien_training.evaluation import cost, evaluate
from mien_training.faces.dataset import DatasetError, load
from mien_training.faces.metrics import labels_of
from mien_training.results import provenance

_CALIBRATED_ON: dict[Task, str] = {"age": "utkface", "gender": "fairface", "emotion": "fer2013"}


def main(
    data: Annotated[Path, typer.Option(help="Folder with the labelled zips; see models/training/README.md.")],
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="Result file; default: standard output.")] = None,
) -> None:
    """Measure float32, float16 and INT8 variants of the default models."""
    zips = [data / f"{name}.zip" for name in _CALIBRATED_ON.values()]
    try:
        with TemporaryDirectory() as folder:
            models = {
                name: measure(Registry().get(name), data, Path(folder)) for name in dict.fromkeys(DEFAULTS.values())
            }
        report = provenance.text(
            {
                **provenance.of_run("mien_training.evaluation.quantization", {"--data": data, "--out": out}, zips),
                "machine": provenance.machine(),
                "models": models,
            }
        )
        if out:
            provenance.write({out: report})
        else:
            typer.echo(report, nl=False)
    except (DatasetError, ModelError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


def measure(entry: Entry, data: Path, folder: Path) -> dict[str, object]:
    """Return bytes, milliseconds per face (batch 1, interleaved) and metrics on `val`, for each variant and task."""
    tasks = [task for task in TASKS if task in entry.spec.heads]
    size = entry.spec.crop.size
    some = load(data / f"{_CALIBRATED_ON[tasks[0]]}.zip", split="train", size=size).images
    chosen = np.random.default_rng(0).permutation(len(some))[:CALIBRATION_FACES]
    entry = entry.whole
    variants = {"float32": entry, **make_variants(entry, some[chosen], folder)}
    calls = {
        (name, task): _call(runtimes.load(variant, task), size) for name, variant in variants.items() for task in tasks
    }
    times = cost.in_turns(calls)
    return {
        "digest": entry.digest,
        "variants": {
            name: {
                "bytes": variant.spec.weights.bytes if variant.spec.weights else None,
                "milliseconds": {task: times[name, task] for task in tasks},
                "val": {task: _figure(variant, task, data / f"{_CALIBRATED_ON[task]}.zip") for task in tasks},
            }
            for name, variant in variants.items()
        },
    }


def make_variants(entry: Entry, faces: NDArray[np.uint8], folder: Path) -> dict[str, Entry]:
    """Return the model in half precision and static INT8 (QDQ), calibrated on (N, S, S, 3) train faces."""
    plain, half, whole = (folder / f"{entry.spec.name}.{kind}.onnx" for kind in ("plain", "float16", "int8"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values out of half precision's range are clipped
        quant_pre_process(str(entry.path), str(plain), skip_symbolic_shape=True)
        onnx.save(convert_float_to_float16(onnx.load(plain), keep_io_types=True), half)
    quantize(entry, faces, whole)
    return {"float16": _variant(entry, half), "int8": _variant(entry, whole)}


def _variant(entry: Entry, path: Path) -> Entry:
    content = path.read_bytes()
    weights = {"file": path.name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    spec = type(entry.spec).model_validate(entry.spec.model_dump() | {"weights": weights, "int8": None})
    return dataclasses.replace(entry, spec=spec, path=path)


def _call(served: runtimes.Model, size: int) -> Callable[[], object]:
    crop = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
    return lambda: served.predict(crop)


def _figure(variant: Entry, task: Task, data: Path) -> dict[str, float]:
    """Return the metric by which a task's model is chosen."""
    faces = load(data, split="val", size=variant.spec.crop.size)
    metrics = evaluate.measure(variant, [task], evaluate.predict(variant, [task], faces.images), faces)[task]
    chosen_metrics, key = (metrics["exact"], "mae") if task == "age" else (metrics, "accuracy")
    if task == "emotion":
        chosen_metrics = metrics[labels_of(variant.spec)]
    return {key: chosen_metrics[key]}  # type: ignore[index]


if __name__ == "__main__":
    typer.run(main)
