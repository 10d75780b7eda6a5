"""Train a detector by its recipe, choose its threshold and export it."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import torch

from mien_models.detectors.dense import DenseDetector
from mien_models.detectors.spec import DetectorSpec
from mien_models.export.detector import write_detector
from mien_training.detection.chips import load_chips
from mien_training.detection.levelled import level
from mien_training.detection.photographs import load_photographs
from mien_training.detection.recipes import DetectionRecipe
from mien_training.detection.run import DetectionRun
from mien_training.detection.scenes import Composer
from mien_training.detection.warm_start import warm_start

_VALIDATE_EVERY = 5  # epochs
_SHOWN = 64  # photographs that report a network that starts from a file what its layers give


def train_detector(
    recipe: DetectionRecipe,
    data: Path,
    runs: Path,
    *,
    teacher: DenseDetector,
    epochs: int = 0,
    threads: int = 1,
    seed: int = 0,
    report: Callable[[str], None],
) -> DetectionRun:
    """Train by a recipe, resuming from a checkpoint if there is one, and return the finished run.

    `runs` gets `NAME.pt` (the checkpoint, after each epoch) and `NAME.jsonl` (one line per epoch, also passed to
    `report`). `teacher` finds the faces of the chips and adds targets in scenes. `epochs` 0 uses the recipe's number.
    Raises `DatasetError`, and `ModelError` if the checkpoint is damaged or belongs to another network.
    """
    torch.set_num_threads(threads)
    name = recipe.spec.name
    runs.mkdir(parents=True, exist_ok=True)
    run = DetectionRun(recipe, epochs or recipe.epochs, runs / f"{name}.pt", seed)
    if run.epoch >= run.epochs:
        return run
    archive = data / f"{recipe.photographs}.zip"
    val = load_photographs(archive, split="val")
    photographs = load_photographs(archive, split="train")
    if run.epoch == 0 and recipe.start:
        warm_start(run.net, recipe.start, [item.image for item in photographs[:: 1 + len(photographs) // _SHOWN]])
    others = [path for path in (data / f"{part}.zip" for part in recipe.further) if path.is_file()]
    further = [level(item, teacher) for path in others for item in load_photographs(path, split="train")]
    photographs = [level(item, teacher) for item in photographs]
    zips = [data / f"{part}.zip" for part in recipe.chips]
    chips = load_chips(zips, teacher, limit=recipe.chip_limit, seed=seed) if zips else None
    composer = Composer(photographs, chips, further)
    while run.epoch < run.epochs:
        started = time.monotonic()
        parts = run.train_epoch(composer, teacher)
        run.save()
        line: dict[str, object] = {"epoch": run.epoch, "epochs": run.epochs}
        line |= {part: round(value, 4) for part, value in parts.items()}
        line["seconds"] = round(time.monotonic() - started)
        if run.epoch % _VALIDATE_EVERY == 0 or run.epoch == run.epochs:
            line |= {metric: round(value, 4) for metric, value in run.validate(val).items()}
        report(json.dumps(line))
        with (runs / f"{name}.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
    return run


def export_detector(run: DetectionRun, data: Path, folder: Path) -> DetectorSpec:
    """Choose the score threshold on `val` and write `NAME.onnx` and `NAME.json` into an existing folder."""
    val = load_photographs(data / f"{run.recipe.photographs}.zip", split="val")
    spec = run.recipe.spec.model_copy(update={"min_score": run.min_score(val)})
    return write_detector(spec, run.averaged, folder)
