"""Tests of the kits for a graphics card, on a CPU with tiny networks and tiny time boxes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mien_models.spec import AgeDistributionHead, EmotionHead, GenderHead
from mien_training.faces import job
from mien_training.faces.dataset import load
from mien_training.faces.recipe import Augmentation
from mien_training.faces.recipes import RECIPES
from mien_training.kit.losses import answer_loss, answers, label_loss
from mien_training.kit.package import KitError, pack, unpack
from mien_training.kit.recipes import KITS, KitRecipe, Source
from mien_training.kit.train import KitRun
from mien_training.kit.views import Mix

from .conftest import ZipMaker

EMOTION = RECIPES["mien-emotion"]
SMALL = replace(
    EMOTION,
    spec=EMOTION.spec.model_copy(update={"options": EMOTION.spec.options | {"widths": (8, 8), "depths": (1, 1)}}),
)
TINY = KitRecipe(
    "tiny",
    student=SMALL,
    sources=(Source("fer2013", quality=95), Source("web", quality=95, weight=0.5, foreign=True)),
    widths=(16, 16),
    depths=(1, 1),
    stem_stride=2,
    teachers=2,
    augmentation=Augmentation(),
    batch=4,
)
HEADS = (EmotionHead(), AgeDistributionHead(first=7), GenderHead(first=108, count=1))


@pytest.fixture
def data(make_zip: ZipMaker, tmp_path: Path) -> Path:
    """A folder with FER2013's zip of eight faces to train on and four of `val`, and eight web faces."""
    splits = ["train"] * 8 + ["val"] * 4
    felt = [f"{i}.webp,{('happy', 'sad')[i % 2]},{i},2,{split}" for i, split in enumerate(splits)]
    make_zip("fer2013.zip", ["file,emotion,votes_happiness,votes_sadness,split", *felt])
    make_zip("web.zip", ["file,votes_fear,split", *(f"{i}.png,10,train" for i in range(8))])
    return tmp_path


@pytest.fixture
def kit(data: Path) -> Path:
    """A packed kit."""
    pack(TINY, data, data / "tiny.kit")
    return data / "tiny.kit"


def _run(kit: Path, seed: int = 0) -> KitRun:
    return KitRun(kit, kit.parent / "run", minutes=0.01, seed=seed, recipes={"tiny": TINY})


def test_a_kit_holds_the_faces_and_labels_of_its_sources(data: Path, kit: Path) -> None:
    packed = unpack(kit, {"tiny": TINY})
    own = load(data / "fer2013.zip", split="train", size=48, usable=True)
    assert len(packed.train) == 16
    np.testing.assert_array_equal(packed.train.emotion[:8], own.emotion)
    np.testing.assert_array_equal(packed.train.votes[:8], own.votes)
    assert np.abs(packed.train.images[:8].astype(int) - own.images).mean() < 20  # noise, compressed
    assert len(packed.val["fer2013"]) == 4
    assert packed.weight.tolist() == [1.0] * 8 + [0.5] * 8


def test_labels_of_a_foreign_style_are_kept_apart(kit: Path) -> None:
    packed = unpack(kit, {"tiny": TINY})
    assert packed.foreign.tolist() == [-1] * 8 + [2] * 8
    assert (packed.train.emotion[8:] == -1).all()
    assert not packed.train.votes[8:].any()


def test_a_run_makes_a_student_that_needs_no_further_training(data: Path, kit: Path) -> None:
    out = _run(kit).train().parent
    run = job.train(SMALL, data, out, report=pytest.fail)
    assert run.epoch == SMALL.epochs
    lines = [json.loads(line) for line in (out / "kit.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines if "steps" in line] == ["teacher-0", "teacher-1", "student"]
    assert {line["stage"] for line in lines if "ferplus" in line} == {"teacher-0", "teacher-1", "teachers", "student"}


def test_a_second_run_keeps_the_teachers_and_goes_on_with_the_student(kit: Path) -> None:
    student = _run(kit).train()
    teachers = {path.name: path.read_bytes() for path in student.parent.glob("teacher-*")}
    before = torch.load(student, weights_only=True)["net"]["stem.0.weight"]
    _run(kit).train()
    after = torch.load(student, weights_only=True)["net"]["stem.0.weight"]
    assert {path.name: path.read_bytes() for path in student.parent.glob("teacher-*")} == teachers
    assert 0 < (after - before).abs().max() < before.abs().max()


def test_teachers_of_another_kit_are_refused(kit: Path) -> None:
    run = _run(kit)
    run.train()
    wider = {"tiny": replace(TINY, widths=(16, 32))}
    with pytest.raises(KitError, match="empty folder"):
        KitRun(kit, run.out, minutes=0.01, recipes=wider).train()


@pytest.mark.parametrize("damage", [lambda content: content[:100], lambda content: b"no zip"])
def test_a_damaged_kit_is_refused(kit: Path, damage: object) -> None:
    assert callable(damage)
    kit.write_bytes(damage(kit.read_bytes()))
    with pytest.raises(KitError, match="pack it again"):
        unpack(kit, {"tiny": TINY})


def test_a_kit_of_an_unknown_recipe_is_refused(kit: Path) -> None:
    with pytest.raises(KitError, match="'tiny'"):
        unpack(kit, KITS)


def test_a_kit_that_is_too_large_is_not_written(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien_training.kit.package._LARGEST", 100)
    with pytest.raises(KitError, match="lower a source's quality"):
        pack(TINY, data, data / "large.kit")
    assert not list(data.glob("large*"))


def test_the_teachers_answer_has_the_lowest_loss() -> None:
    scores = torch.randn(6, 109, generator=torch.Generator().manual_seed(0))
    taught = answers(HEADS, scores)
    other = scores + torch.randn(6, 109, generator=torch.Generator().manual_seed(1))
    assert answer_loss(HEADS, scores, taught) < answer_loss(HEADS, other, taught)
    differs = scores.clone().requires_grad_()
    answer_loss(HEADS, differs, taught).backward()  # type: ignore[no-untyped-call]
    assert differs.grad is not None
    assert differs.grad.abs().max() < 1e-6


def test_a_mixed_face_counts_for_both_labels_by_their_shares() -> None:
    labels = {
        "emotion": torch.tensor([3, 4]),
        "votes": torch.zeros(2, 7),
        "male": torch.tensor([1, 0]),
        "age": torch.tensor([[20, 20], [30, 39]]),
        "foreign": torch.tensor([-1, 2]),
    }
    scores = torch.randn(2, 116, generator=torch.Generator().manual_seed(0))
    swapped = Mix(torch.tensor([1, 0]), share=0.0)
    others = {name: values.flip(0) for name, values in labels.items()}
    own, other = label_loss(HEADS, scores, labels, None), label_loss(HEADS, scores, others, None)
    assert label_loss(HEADS, scores, labels, swapped) == pytest.approx(other)
    assert label_loss(HEADS, scores, labels, Mix(swapped.order, share=0.25)) == pytest.approx(0.25 * own + 0.75 * other)
