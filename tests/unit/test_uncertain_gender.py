"""Tests that a gender below the model's threshold is uncertain, from the model's specification to the drawn label."""

import json
from pathlib import Path

import numpy as np
import pytest

import mien
from mien.cli import tables
from mien.v1 import face_pb2
from mien.v1 import face_service_pb2 as pb
from mien_models.registry import Registry

from ..photographs import EXAMPLE


def with_threshold(folder: Path, threshold: float | None) -> mien.Analysis:
    """Analyze the example photograph with a copy of the default model whose threshold is changed."""
    entry = Registry().for_task("gender")
    spec = json.loads(entry.path.with_suffix(".json").read_text())
    spec["name"] = "changed"
    spec["heads"]["gender"]["uncertain_below"] = threshold
    (folder / "changed.json").write_text(json.dumps(spec))
    for weights in filter(None, (entry.spec.weights, entry.spec.int8)):
        (folder / weights.file).write_bytes((entry.path.parent / weights.file).read_bytes())
    settings = {"models.folders": [str(folder)], "tasks.gender.model": "changed"}
    with mien.Client.local(settings) as client:
        return client.analyze(EXAMPLE, max_faces=1)


@pytest.mark.parametrize(("threshold", "value"), [(None, "female"), (0.5, "female"), (0.9999, "uncertain")])
def test_the_models_threshold_decides(tmp_path: Path, threshold: float | None, value: str) -> None:
    analysis = with_threshold(tmp_path, threshold)
    gender = analysis.faces[0].gender
    model = next(task.model for task in analysis.tasks if task.task == "gender")
    assert gender
    assert model
    assert model.gender_uncertain_below == (None if threshold is None else pytest.approx(threshold))
    assert gender.value == value
    assert 0.5 < gender.probability < 0.9999
    assert gender.male_probability == pytest.approx(1 - gender.probability)


UNCERTAIN = face_pb2.Face(
    box=face_pb2.Box(x=60, y=40, width=40, height=50),
    age=face_pb2.Age(years=33.4, low=28, high=40),
    gender=face_pb2.Gender(value=face_pb2.GENDER_VALUE_UNCERTAIN, probability=0.6, male_probability=0.6),
)


def test_uncertain_is_printed_in_text_table_and_json() -> None:
    analysis = mien.Analysis.from_message(pb.AnalyzeResponse(faces=[UNCERTAIN]))
    assert str(analysis.faces[0]) == "(60, 40) 40x50, 33 years (28-40), gender uncertain"
    assert list(tables.analyses([("photo.jpg", analysis)]).columns[3].cells) == ["uncertain"]
    (face,) = analysis.to_dict()["faces"]  # type: ignore[misc]
    assert face["gender"] == {
        "value": "GENDER_VALUE_UNCERTAIN",
        "probability": pytest.approx(0.6),
        "male_probability": pytest.approx(0.6),
    }


def test_uncertain_is_drawn_in_the_colour_of_no_gender() -> None:
    picture = np.full((150, 200, 3), 100, np.uint8)
    drawn = mien.draw(picture, mien.Analysis.from_message(pb.AnalyzeResponse(faces=[UNCERTAIN])))
    edge = drawn[65, 60]
    assert edge[0] == edge[1] == edge[2] > 200
    male = face_pb2.Face()
    male.CopyFrom(UNCERTAIN)
    male.gender.value = face_pb2.GENDER_VALUE_MALE
    other = mien.draw(picture, mien.Analysis.from_message(pb.AnalyzeResponse(faces=[male])))
    assert (other[65, 60] != edge).any()
