"""Tests of the command that evaluates detectors on labelled photographs."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from mien_models.faces import Faces
from mien_training.evaluation import evaluate_detector
from mien_training.evaluation.evaluate_detector import BoxesError, Turn, measure, read_boxes

from .test_detectors import ASTRONAUT, ASTRONAUT_BOX


def run(*options: object) -> Result:
    app = typer.Typer()
    app.command()(evaluate_detector.main)
    return CliRunner().invoke(app, [str(option) for option in options])


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["file,x,y,w,h", *lines]) + "\n")
    return path


def test_detectors_are_judged_in_one_run(tmp_path: Path) -> None:
    boxes = write(tmp_path / "boxes.csv", f"astronaut.jpg,{','.join(map(str, ASTRONAUT_BOX))}")
    options = ("--photos", ASTRONAUT.parent, "--boxes", boxes, "--long-side", 320, "--repeats", 1)
    result = run(*options, "--detector", "haar", "--detector", "mien", "--json")
    assert result.exit_code == 0, result.output
    reported = json.loads(result.stdout)
    assert list(reported["detectors"]) == ["haar", "mien"]
    assert (reported["photographs"], reported["long_side"]) == (1, 320)
    assert "--detector haar --detector mien --long-side 320" in reported["command"]
    assert reported["data"]["file"] == "boxes.csv"
    for figures in reported["detectors"].values():
        assert figures["faces"] == figures["found"] == figures["recall"] == 1
        assert 0 < figures["median_ms"] <= figures["p95_ms"]
    table = run(*options, "--detector", "haar")
    assert "haar" in table.stdout
    assert "false boxes" in table.stdout


def test_found_and_false_boxes_are_counted() -> None:
    found = Faces(np.array([[0, 0, 10, 10], [50, 50, 10, 10]], np.float32), None, np.array([0.9, 0.8], np.float32))
    truth = [np.array([[3, 0, 10, 10], [80, 80, 9, 9]], np.float32)]
    figures = measure(Turn([found], [2.0, 4.0]), truth)
    assert figures == {
        "faces": 2,
        "found": 1,
        "recall": 0.5,
        "false_boxes": 1,
        "median_ms": 3.0,
        "p95_ms": 3.9,
    }


def test_photographs_without_a_face_have_no_recall() -> None:
    nothing = Faces(np.zeros((0, 4), np.float32))
    assert measure(Turn([nothing], [1.0]), [np.zeros((0, 4), np.float32)])["recall"] is None


def test_a_line_with_a_file_alone_is_a_photograph_without_a_face(tmp_path: Path) -> None:
    boxes = read_boxes(write(tmp_path / "boxes.csv", "a.jpg,1,2,3,4", "b.jpg,,,,", "a.jpg,5,6,7,8"))
    assert {name: rows.tolist() for name, rows in boxes.items()} == {"a.jpg": [[1, 2, 3, 4], [5, 6, 7, 8]], "b.jpg": []}


@pytest.mark.parametrize(
    ("lines", "result"),
    [
        ("file,x,y\na.jpg,1,2\n", "the first line must contain the columns file,x,y,w,h"),
        ("file,x,y,w,h\na.jpg,1,2,3,4\na.jpg,1,2,3,wide\n", "line 3: x, y, w and h must be numbers"),
        ("file,x,y,w,h\na.jpg,1,2\n", "line 2: x, y, w and h must be numbers"),
        ("file,x,y,w,h\n", "lists no photograph"),
    ],
)
def test_malformed_boxes_are_refused(tmp_path: Path, lines: str, result: str) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text(lines)
    with pytest.raises(BoxesError, match=result):
        read_boxes(path)


def test_missing_files_are_reported(tmp_path: Path) -> None:
    boxes = write(tmp_path / "boxes.csv", "none.jpg,1,2,3,4")
    result = run("--photos", tmp_path, "--boxes", boxes, "--detector", "haar")
    assert result.exit_code == 1
    assert "none.jpg" in result.stderr
    result = run("--photos", tmp_path, "--boxes", tmp_path / "none.csv", "--detector", "haar")
    assert result.exit_code == 1
    assert "none.csv: No such file" in result.stderr
    boxes = write(tmp_path / "boxes.csv", "astronaut.jpg,1,2,3,4")
    result = run("--photos", ASTRONAUT.parent, "--boxes", boxes, "--detector", "nose")
    assert result.exit_code == 1
    assert "detector" in result.stderr
