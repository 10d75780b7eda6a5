"""Tests of one epoch of training, export and both runtimes, on synthetic faces."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mien_models import runtimes
from mien_models.networks import ServedModel, build
from mien_models.registry import ANSWERS, Entry, Registry
from mien_models.spec import AgeDistributionHead, CropSpec, EmotionHead, GenderHead, InputSpec, ModelSpec
from mien_training.faces import job
from mien_training.faces.recipe import Augmentation, OtherModel, Recipe
from mien_training.faces.recipes import RECIPES
from mien_training.faces.run import Run

from .conftest import ZipMaker

TINY = Recipe(
    ModelSpec(
        name="tiny",
        version="0.0.1",
        summary="A net for tests.",
        architecture="residual",
        options={"channels": 3, "outputs": 116, "stem_stride": 2, "widths": (4, 8), "depths": (1, 1), "dropout": 0.1},
        crop=CropSpec(size=16),
        input=InputSpec(colour="rgb", shift=127.5, scale=127.5),
        flip=True,
        heads={
            "age": AgeDistributionHead(),
            "gender": GenderHead(first=101, count=1),
            "emotion": EmotionHead(first=109, style="ferplus"),
        },
    ),
    ("utkface", "fairface", "fer2013"),
    epochs=1,
    others=(OtherModel(name="tiny-other", summary="The same, other head.", heads={"emotion": EmotionHead(first=102)}),),
    batch=8,
    augmentation=Augmentation(),
    source_size=20,
)


@pytest.fixture
def folder(make_zip: ZipMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the three zips, twelve faces each, and the tiny recipe among the recipes."""
    splits = ["train"] * 8 + ["val"] * 4
    aged = [f"{i}.jpg,{7 * i},{('male', 'female')[i % 2]},{split}" for i, split in enumerate(splits)]
    binned = [f"{i}.jpg,20,29,{('male', 'female')[i % 2]},{split}" for i, split in enumerate(splits)]
    felt = [f"{i}.webp,{('happy', 'sad')[i % 2]},{i},2,{split}" for i, split in enumerate(splits)]
    make_zip("utkface.zip", ["file,age,gender,split", *aged])
    make_zip("fairface.zip", ["file,age_low,age_high,gender,split", *binned])
    make_zip("fer2013.zip", ["file,emotion,votes_happiness,votes_sadness,split", *felt])
    monkeypatch.setitem(RECIPES, "tiny", TINY)
    return tmp_path


def _train(folder: Path, epochs: int) -> Run:
    return job.train(TINY, folder, folder / "runs", epochs=epochs, report=print)


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:export", "ignore::DeprecationWarning:torch", "ignore::torch.jit.TracerWarning"
)
def test_an_exported_model_is_equal_in_both_runtimes(folder: Path) -> None:
    run = _train(folder, 1)
    (folder / "weights").mkdir()
    job.export(run, folder, folder / "weights")
    registry = Registry((folder / "weights",))
    entry, other = registry.get("tiny"), registry.get("tiny-other")
    crops = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)

    assert other.path == entry.path
    assert other.digest == entry.digest
    _assert_alike(run, entry, crops)
    _assert_alike(run, other, crops)
    of_entry, of_other = (runtimes.load(each, "emotion").predict(crops)["probabilities"] for each in (entry, other))
    assert np.abs(of_entry - of_other).max() > 1e-3


def _assert_alike(run: Run, entry: Entry, crops: np.ndarray) -> None:
    assert entry.spec.parameters == sum(p.numel() for p in _trained(run, entry).net.parameters())
    with torch.inference_mode():
        trained = _trained(run, entry)(torch.from_numpy(crops))
    for task in entry.spec.heads:
        by_onnx = runtimes.load(entry, task).predict(crops)
        by_torch = runtimes.load(entry, task, runtime="torch").predict(crops)
        for name in ANSWERS[task]:
            assert np.abs(by_onnx[name] - by_torch[name]).max() < 1e-4
            assert np.abs(by_onnx[name] - trained[name].numpy()).max() < 1e-4


def _trained(run: Run, entry: Entry) -> ServedModel:
    """Return the trained weights behind the exported, calibrated heads."""
    return ServedModel(entry.spec, run.net).eval()


def test_an_interrupted_run_resumes(folder: Path) -> None:
    _train(folder, 2)
    log = folder / "runs" / "tiny.jsonl"
    assert len(log.read_text().splitlines()) == 2

    _train(folder, 2)
    assert len(log.read_text().splitlines()) == 2

    _train(folder, 3)
    assert len(log.read_text().splitlines()) == 3
    assert not (folder / "runs" / "tiny.partial").exists()


def test_every_recipes_network_has_the_outputs_of_its_heads() -> None:
    for name, recipe in RECIPES.items():
        spec, size = recipe.spec, recipe.spec.crop.size
        heads = [head for made in recipe.specs for head in made.heads.values()]
        served = ServedModel(spec, build(spec)).eval()
        with torch.inference_mode():
            crops = torch.zeros(2, size, size, 3, dtype=torch.uint8)
            columns = served.scores(crops).shape[1]
            answers = served(crops)

        assert name == spec.name
        assert max(head.first + head.count for head in heads) == columns
        assert set(answers) == {answer for task in spec.heads for answer in ANSWERS[task]}
