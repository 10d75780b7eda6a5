"""Tests of loading and augmenting labelled faces."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from mien_training.faces.augmentation import augment
from mien_training.faces.dataset import DatasetError, concatenate, load
from mien_training.faces.recipe import Augmentation

from .conftest import ZipMaker

FER = (
    "file,split,emotion,ambiguous,votes_neutral,votes_happiness,votes_contempt,votes_anger",
    "a.webp,train,happy,0,1,8,1,0",
    "b.webp,train,sad,1,9,0,1,0",
    "c.webp,val,angry,0,2,0,6,2",
)
AGED = (
    "file,age,age_low,age_high,gender,race,split",
    "a.jpg,26,,,male,Indian,train",
    "b.jpg,,30,39,female,,train",
    "c.png,,70,,,Black,val",
    "d.png,0,,,,,val",
)


def test_emotion_labels_votes_and_majority_are_read(make_zip: ZipMaker) -> None:
    faces = load(make_zip("fer.zip", FER), size=20)

    assert faces.files == ("a.webp", "b.webp", "c.webp")
    assert faces.emotion.tolist() == [3, 4, 0]
    assert faces.votes[0].tolist() == [0, 0, 0, 8, 0, 0, 1]
    assert faces.male.tolist() == [-1, -1, -1]
    assert faces.age.tolist() == [[-1, -1]] * 3


def test_the_majority_is_unknown_where_contempt_leads(make_zip: ZipMaker) -> None:
    assert load(make_zip("fer.zip", FER), size=20).majority.tolist() == [3, 6, -1]


def test_ambiguous_rows_are_dropped_for_training_alone(make_zip: ZipMaker) -> None:
    path = make_zip("fer.zip", FER)

    assert load(path, split="train", size=20, usable=True).files == ("a.webp",)
    assert load(path, split="train", size=20).files == ("a.webp", "b.webp")


def test_exact_ages_bins_and_open_bins_are_read(make_zip: ZipMaker) -> None:
    faces = load(make_zip("aged.zip", AGED), size=20)

    assert faces.age.tolist() == [[26, 26], [30, 39], [70, 120], [0, 0]]
    assert faces.male.tolist() == [1, 0, -1, -1]
    assert faces.race == ("Indian", "", "Black", "")


@pytest.mark.parametrize("shape", [(20, 20, 3), (40, 40), (31, 17, 3), (20, 20, 4)])
def test_pictures_of_any_shape_are_resized_to_rgb(make_zip: ZipMaker, shape: tuple[int, ...]) -> None:
    faces = load(make_zip("faces.zip", ["file", "a.png"], shape=shape), size=20)

    assert faces.images.shape == (1, 20, 20, 3)
    assert faces.images.dtype == np.uint8
    assert faces.images.std() > 10


def test_red_comes_first(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "red.zip", "w") as archive:
        archive.writestr("labels.csv", "file\nred.ppm\n")
        archive.writestr("red.ppm", b"P6 1 1 255 " + bytes([200, 30, 10]))

    assert load(tmp_path / "red.zip", size=1).images.tolist() == [[[[200, 30, 10]]]]


def test_joined_data_sets_keep_their_order(make_zip: ZipMaker) -> None:
    joined = concatenate([load(make_zip("fer.zip", FER), size=8), load(make_zip("aged.zip", AGED), size=8)])

    assert len(joined) == 7
    assert joined.images.shape == (7, 8, 8, 3)
    assert joined.emotion.tolist() == [3, 4, 0, -1, -1, -1, -1]
    assert joined.age[3].tolist() == [26, 26]


def test_rows_without_a_split_can_be_read_as_all_only(make_zip: ZipMaker) -> None:
    path = make_zip("faces.zip", ["file,age", "a.png,3"])

    assert len(load(path, size=8)) == 1
    with pytest.raises(DatasetError, match="no column split, so use split 'all'"):
        load(path, split="val", size=8)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file,gender", "a.png,male", "b.png,man"], r"line 3 \(b.png\): gender 'man' is unknown"),
        (["file,emotion", "a.png,joy"], r"line 2 \(a.png\): emotion 'joy' is unknown"),
        (["file,age", "a.png,old"], "age 'old' is not a number"),
        (["file,age", "a.png,-4"], "age '-4' is not a number from 0"),
        (["file,age", "a.png,nan"], "age 'nan' is not a number"),
        (["file,age_low,age_high", "a.png,30,20"], "not an age bin"),
        (["file,age_low,age_high", "a.png,,20"], "not an age bin"),
        (["file,votes_anger", "a.png,many"], "votes_anger 'many' is not a number"),
        (["file,split", "a.png,train"], "no rows of split 'val'; its splits: train, all"),
        (["file"], "labels.csv has no rows"),
    ],
)
def test_invalid_labels_are_reported_with_their_line(make_zip: ZipMaker, lines: list[str], message: str) -> None:
    split = "val" if "split" in lines[0] else "all"

    with pytest.raises(DatasetError, match=message):
        load(make_zip("faces.zip", lines), split=split, size=8)


def test_files_that_are_not_data_sets_are_refused(make_zip: ZipMaker, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bare.zip", "w"):
        pass
    (tmp_path / "text.zip").write_text("no zip")
    lost = make_zip("lost.zip", ["file", "a.png"], pictures=False)
    with zipfile.ZipFile(tmp_path / "broken.zip", "w") as archive:
        archive.writestr("labels.csv", "file\na.png\n")
        archive.writestr("a.png", b"not a picture")

    for path, message in (
        (tmp_path / "none.zip", "does not exist"),
        (tmp_path / "bare.zip", "contains no labels.csv"),
        (tmp_path / "text.zip", "not a readable zip"),
        (lost, r"line 2 \(a.png\): the zip does not contain this file"),
        (tmp_path / "broken.zip", r"line 2 \(a.png\): is not a readable image"),
    ):
        with pytest.raises(DatasetError, match=message):
            load(path, size=8)


def _augmented(seed: int, how: Augmentation | None = None) -> torch.Tensor:
    faces = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (6, 40, 40, 3), np.uint8))
    return augment(faces, 32, how or Augmentation(), torch.Generator().manual_seed(seed))


def test_augmented_faces_have_the_network_s_size_and_range() -> None:
    images = _augmented(0)

    assert images.shape == (6, 3, 32, 32)
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 255


def test_augmentation_follows_its_generator() -> None:
    assert torch.equal(_augmented(3), _augmented(3))
    assert not torch.equal(_augmented(3), _augmented(4))


def test_augmentation_changes_each_face_in_its_own_way() -> None:
    face = torch.full((4, 40, 40, 3), 0, dtype=torch.uint8)
    face[:, :, :20] = 200
    images = augment(face, 40, Augmentation(), torch.Generator().manual_seed(0))

    assert len({tuple(image.flatten().tolist()) for image in images}) == 4


def test_no_augmentation_leaves_the_face_or_its_mirror_image() -> None:
    still = Augmentation(scale=0, shift=0, rotation=0, light=0, grey=0, soften=0, noise=0, erase=0)
    faces = torch.from_numpy(np.random.default_rng(2).integers(0, 256, (8, 16, 16, 3), np.uint8))
    images = augment(faces, 16, still, torch.Generator().manual_seed(0))
    plain = faces.permute(0, 3, 1, 2).float()

    for image, original in zip(images, plain, strict=True):
        near = [torch.allclose(image, one, atol=0.01) for one in (original, original.flip(2))]
        assert any(near)
