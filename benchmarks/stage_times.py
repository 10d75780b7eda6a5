"""Measure the processor time of the stages of a request, in this process with one thread."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import pictures
from mien_models.spec import Task
from pipeline import FaceFinder, load_model
from simulation import Photograph

_PHOTOGRAPHS = 24
_RUNS = 7
_BATCHES = (1, 2, 4, 8, 16, 32)
_MODELS: dict[str, Task] = {"age-gender": "age", "emotion": "emotion"}
"""A task of each model."""


def measured(folder: Path, seed: int) -> tuple[list[Photograph], dict[str, float], dict[str, float]]:
    """Return the photographs' work, and seconds per batch and per face of each model.

    The photographs are those of the serving benchmark. Each time is the lowest of several runs, in processor time, so
    that other work on the machine counts little.
    """
    finder = FaceFinder()
    chosen = pictures.choose(folder, _PHOTOGRAPHS, seed)
    photographs = [
        Photograph(_lowest(partial(finder.find, photo.data)), len(finder.find(photo.data).faces)) for photo in chosen
    ]
    crops = finder.find(chosen[0].data).crops
    call_s, face_s = {}, {}
    for name, task in _MODELS.items():
        predict = load_model(task).predict
        seconds = [_lowest(partial(predict, np.repeat(crops[task][:1], size, 0))) for size in _BATCHES]
        slope, start = np.polyfit(_BATCHES, seconds, 1, w=1 / np.array(seconds))
        call_s[name], face_s[name] = max(0.0, float(start)), float(slope)
    return photographs, call_s, face_s


def _lowest(work: Callable[[], object]) -> float:
    work()
    runs = []
    for _ in range(_RUNS):
        started = time.process_time()
        work()
        runs.append(time.process_time() - started)
    return min(runs)
