"""Tests of packing further public collections: selection and labels."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mien_models.detectors import DetectorInfo
from mien_models.faces import Faces
from mien_training.sources.duplicates import Known
from mien_training.sources.errors import PrepareError
from mien_training.sources.expressions import VOTES, effectnet_rows, facial_expressions_rows
from mien_training.sources.profiles import profile_rows


class Middle:
    """Sees one upright face in the middle of each picture, 0.6 of its height."""

    info = DetectorInfo("middle", "1", "")

    def detect(self, image: NDArray[np.uint8]) -> Faces:
        height, width = image.shape[:2]
        box = np.array([[width / 2 - 0.25 * height, 0.2 * height, 0.5 * height, 0.6 * height]], np.float32)
        eyes = np.array([[-0.1, 0.4], [0.1, 0.4], [0, 0.5], [-0.1, 0.6], [0.1, 0.6]], np.float32) * height
        return Faces(box, np.add(eyes, (width / 2, 0), dtype=np.float32)[None], np.array([0.9], np.float32))


def picture(path: Path, seed: int) -> NDArray[np.uint8]:
    """Write a smooth random picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rough = np.random.default_rng(seed).integers(40, 256, (12, 12, 3), np.uint8)
    image = cv2.resize(rough, (200, 200), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(path), image)
    return np.asarray(image, np.uint8)


def test_held_out_people_of_cfp_are_never_packed(tmp_path: Path) -> None:
    for person in ("001", "350", "351", "400", "401", "500"):
        picture(tmp_path / "Images" / person / "profile" / "01.jpg", int(person))
    rows = [row for row, _ in profile_rows(tmp_path, Middle())]
    assert {row["file"]: row["split"] for row in rows} == {
        "001_profile_01.jpg": "train",
        "350_profile_01.jpg": "train",
        "351_profile_01.jpg": "val",
        "400_profile_01.jpg": "val",
    }
    (face,) = json.loads(str(rows[0]["boxes"]))
    assert face[:4] == [50, 40, 100, 120]
    assert len(face) == 15


def test_a_folder_without_cfp_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PrepareError, match="NNN/frontal"):
        list(profile_rows(tmp_path, Middle()))


def effectnet(folder: Path) -> None:
    names = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear")
    for seed, name in enumerate(names):
        picture(folder / name / "1.jpg", seed)


def test_effectnets_folders_become_votes(tmp_path: Path) -> None:
    effectnet(tmp_path)
    rows = {row["file"]: row for row, _ in effectnet_rows(tmp_path, Middle(), Known([]))}
    assert len(rows) == 7
    sad = rows["sad_1.jpg.png"]
    assert {name: sad[f"votes_{name}"] for name in VOTES} == dict.fromkeys(VOTES, 0) | {"sadness": 10}


def test_copies_of_known_faces_and_pictures_with_two_labels_are_left_out(tmp_path: Path) -> None:
    effectnet(tmp_path)
    faces = {
        row["file"]: cv2.imdecode(np.frombuffer(face, np.uint8), cv2.IMREAD_GRAYSCALE)
        for row, face in effectnet_rows(tmp_path, Middle(), Known([]))
    }
    picture(tmp_path / "fear" / "2.jpg", 2)  # the surprised one again
    known = Known([np.asarray(faces["happy_1.jpg.png"], np.uint8)])
    left = {row["file"] for row, _ in effectnet_rows(tmp_path, Middle(), known)}
    assert set(faces) - left == {"happy_1.jpg.png", "surprise_1.jpg.png"}
    assert "fear_2.jpg.png" not in left


def test_black_around_an_outline_is_painted(tmp_path: Path) -> None:
    effectnet(tmp_path)
    image = picture(tmp_path / "neutral" / "1.jpg", 9)
    outline = cv2.circle(np.zeros((200, 200, 1), np.uint8), (100, 100), 60, 1, -1)
    cv2.imwrite(str(tmp_path / "neutral" / "1.jpg"), image * outline)
    faces = {
        row["file"]: cv2.imdecode(np.frombuffer(face, np.uint8), cv2.IMREAD_GRAYSCALE)
        for row, face in effectnet_rows(tmp_path, Middle(), Known([]))
    }
    assert faces["neutral_1.jpg.png"].min() > 20


def test_the_legend_of_facial_expressions_becomes_votes(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.jpg", 1)
    picture(tmp_path / "images" / "b.jpg", 2)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "legend.csv").write_text("user.id,image,emotion\n1,a.jpg,ANGER\n1,b.jpg,contempt\n")
    ((row, _),) = facial_expressions_rows(tmp_path, Middle(), Known([]))
    assert row["votes_anger"] == 10
    with pytest.raises(PrepareError, match=r"legend\.csv does not exist"):
        list(facial_expressions_rows(tmp_path / "images", Middle(), Known([])))
