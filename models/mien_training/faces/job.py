"""Train a model by its recipe, calibrate it and export it."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from mien_models.export.int8 import CALIBRATION_FACES, quantize
from mien_models.export.model import write
from mien_models.networks import ServedModel
from mien_models.registry import read_entry
from mien_models.spec import ModelSpec, Task
from mien_training.faces.calibration import calibrate
from mien_training.faces.dataset import FaceData, concatenate, load
from mien_training.faces.recipe import Recipe
from mien_training.faces.run import Run

_CALIBRATED_ON: dict[Task, str] = {"age": "utkface", "gender": "fairface", "emotion": "fer2013"}


def train(
    recipe: Recipe,
    data: Path,
    runs: Path,
    *,
    epochs: int = 0,
    threads: int = 1,
    seed: int = 0,
    report: Callable[[str], None],
) -> Run:
    """Train by a recipe, resuming from a checkpoint if there is one, and return the finished run.

    `runs` gets `NAME.pt` (the checkpoint, after each epoch) and `NAME.jsonl` (one line per epoch, also passed to
    `report`). `epochs` 0 uses the recipe's number. Raises `DatasetError` if a zip of `data` is missing or malformed,
    `ModelError` if the checkpoint is damaged or belongs to another network.
    """
    torch.set_num_threads(threads)
    name, size = recipe.spec.name, recipe.source_size
    runs.mkdir(parents=True, exist_ok=True)
    run = Run(recipe, epochs or recipe.epochs, runs / f"{name}.pt", seed)
    if run.epoch >= run.epochs:
        return run
    faces = concatenate([load(data / f"{part}.zip", split="train", size=size, usable=True) for part in recipe.data])
    val = {part: load(data / f"{part}.zip", split="val", size=recipe.spec.crop.size) for part in recipe.data}
    while run.epoch < run.epochs:
        started = time.monotonic()
        line: dict[str, object] = {"loss": round(run.train_epoch(faces), 4), "epoch": run.epoch, "epochs": run.epochs}
        run.save()
        line["seconds"] = round(time.monotonic() - started)
        for part, labelled in val.items():
            line |= {f"{part}_{key}": round(value, 4) for key, value in run.validate(labelled).items()}
        report(json.dumps(line))
        with (runs / f"{name}.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
    return run


def export(run: Run, data: Path, folder: Path) -> ModelSpec:
    """Calibrate a run's weights on `val` and write `NAME.onnx` and `NAME.json` into an existing folder.

    Each further model of the run gets its own specification, and outputs in the same file.

    Each task is calibrated on its best-labelled data set: age on UTKFace, gender on FairFace, emotion on FER2013.
    """
    own, *others = (_calibrated(spec, run, data) for spec in run.recipe.specs)
    written = write(own, run.net, folder, others)
    return add_int8(run.recipe, data, folder) if run.recipe.int8 else written


def add_int8(recipe: Recipe, data: Path, folder: Path) -> ModelSpec:
    """Quantise a recipe's model in a folder, calibrated on `train` faces, and name the file in all specifications."""
    entries = [read_entry(folder / f"{spec.name}.json") for spec in recipe.specs]
    spec = entries[0].spec
    faces = concatenate(
        [load(data / f"{part}.zip", split="train", size=spec.crop.size, usable=True) for part in recipe.data]
    )
    chosen = np.random.default_rng(0).permutation(len(faces))[:CALIBRATION_FACES]
    weights = quantize(entries[0], faces.images[chosen], folder / f"{spec.name}.int8.onnx")
    written = [entry.spec.model_copy(update={"int8": weights}) for entry in entries]
    for each in written:
        each.write(folder / f"{each.name}.json")
    return written[0]


def _calibrated(spec: ModelSpec, run: Run, data: Path) -> ModelSpec:
    served = ServedModel(spec, run.net).eval()
    heads = {}
    for task, head in spec.heads.items():
        faces = load(data / f"{_CALIBRATED_ON[task]}.zip", split="val", size=spec.crop.size)
        scores = raw_scores(served, faces)[:, head.first : head.first + head.count]
        heads[task] = calibrate(head, scores, faces)
    return spec.model_copy(update={"heads": heads})


def raw_scores(served: ServedModel, faces: FaceData) -> torch.Tensor:
    """Return a model's scores for all faces, (N, outputs)."""
    with torch.inference_mode():
        parts = np.array_split(faces.images, 1 + len(faces) // 256)
        return torch.cat([served.scores(torch.from_numpy(part)) for part in parts])
