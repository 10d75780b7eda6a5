"""Tests of the conversion of small synthetic data sets in the published layouts."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mien_models.spec import EMOTIONS
from mien_training import prepare
from mien_training.faces.dataset import DatasetError, load

RUNNER = CliRunner()


def picture(path: Path, size: int, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size, size, 3), level, np.uint8)).save(path)


def pixels(level: int) -> str:
    return " ".join([str(level)] * 48 * 48)


FER = (
    f"emotion,pixels,Usage\n0,{pixels(10)},Training\n3,{pixels(10)},Training\n6,{pixels(90)},PublicTest\n"
    f"1,{pixels(70)},PrivateTest\n"
)
FER_PLUS = (
    "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
    "Training,a.png,4,0,0,1,3,2,0,0,0,0\nTraining,b.png,0,9,0,0,0,0,0,1,0,0\n"
    "PublicTest,c.png,8,0,0,2,0,0,0,0,0,0\nPrivateTest,,0,0,0,0,0,0,0,0,0,10\n"
)


def test_fer2013_with_its_votes(tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv").write_text(FER)
    (tmp_path / "fer2013new.csv").write_text(FER_PLUS)
    words = ["fer2013", str(tmp_path / "fer2013.csv"), "--votes", str(tmp_path / "fer2013new.csv")]
    outcome = RUNNER.invoke(prepare.app, [*words, "--out", str(tmp_path / "fer.zip")])
    assert outcome.exit_code == 0, outcome.output
    faces = load(tmp_path / "fer.zip", size=48)
    assert faces.emotion.tolist() == [0, 3, 6, 1]
    assert [EMOTIONS[index] for index in faces.majority[:3]] == ["neutral", "happy", "neutral"]
    assert faces.majority[3] == -1
    assert faces.images[:, 0, 0, 0].tolist() == [10, 10, 90, 70]
    assert len(load(tmp_path / "fer.zip", split="val", size=48)) == 1
    with pytest.raises(DatasetError, match="no rows"):  # both training rows show the same face with different labels
        load(tmp_path / "fer.zip", split="train", size=48, usable=True)


def test_fairface_with_its_bins(tmp_path: Path) -> None:
    for split, ages in (("train", ("0-2", "more than 70")), ("val", ("30-39",))):
        lines = ["file,age,gender,race,service_test"]
        for index, age in enumerate(ages):
            picture(tmp_path / split / f"{index}.jpg", 224, 60 + index)
            lines.append(f"{split}/{index}.jpg,{age},Female,East Asian,True")
        (tmp_path / f"fairface_label_{split}.csv").write_text("\n".join(lines) + "\n")
    outcome = RUNNER.invoke(prepare.app, ["fairface", str(tmp_path), "--out", str(tmp_path / "fairface.zip")])
    assert outcome.exit_code == 0, outcome.output
    faces = load(tmp_path / "fairface.zip", split="train", size=80)
    assert faces.age.tolist()[0] == [0, 2]
    assert faces.age[1, 0] == 70
    assert faces.age[1, 1] > 100
    assert faces.male.tolist() == [0, 0]
    assert set(faces.race) == {"East Asian"}


def test_utkface_with_the_labels_of_its_names(tmp_path: Path) -> None:
    folder = tmp_path / "UTKFace"
    for name in ("26_0_1_20170116.jpg.chip.jpg", "3_1_4_20161219.jpg.chip.jpg", "61_1_20170109.jpg.chip.jpg"):
        picture(folder / name, 200, 99)
    outcome = RUNNER.invoke(prepare.app, ["utkface", str(folder), "--out", str(tmp_path / "utkface.zip")])
    assert outcome.exit_code == 0, outcome.output
    assert "61_1_20170109" in outcome.output
    faces = load(tmp_path / "utkface.zip", size=80)
    assert faces.age.tolist() == [[26, 26], [3, 3]]
    assert faces.male.tolist() == [1, 0]
    assert faces.race == ("black", "other")


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        (["fairface", "{folder}"], "fairface_label_train.csv does not exist"),
        (["utkface", "{folder}"], "contains no .jpg files"),
        (["fer2013", "{folder}/none.csv"], "none.csv does not exist"),
        (["fer2013", "{folder}/wrong.csv"], "has no column 'pixels'"),
    ],
)
def test_a_missing_or_malformed_file_is_named_and_nothing_is_written(
    tmp_path: Path, words: list[str], outcome: str
) -> None:
    (tmp_path / "wrong.csv").write_text("emotion,Usage\n0,Training\n")
    out = tmp_path / "out.zip"
    result = RUNNER.invoke(prepare.app, [*(word.format(folder=tmp_path) for word in words), "--out", str(out)])
    assert result.exit_code == 1
    assert outcome in result.output
    assert not list(tmp_path.glob("*out.zip*"))
