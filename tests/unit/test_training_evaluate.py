"""Tests of the evaluation command, with the shipped models."""

import csv
import dataclasses
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from mien_models.registry import TASKS, Registry
from mien_models.runtimes.torch import TorchModel
from mien_models.spec import CropSpec
from mien_training.evaluation import cost, evaluate, recrop, uncalibrated

from .conftest import ZipMaker

AGED = (
    "file,age,gender,race,split",
    "a.jpg,26,male,Indian,val",
    "b.jpg,8,female,White,val",
    "c.png,70,female,,train",
)

ROOT = Path(__file__).parents[2]


def _run(*options: object) -> Result:
    app = typer.Typer()
    app.command()(evaluate.main)
    return CliRunner().invoke(app, [str(option) for option in options])


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_a_model_is_evaluated_in_all_its_tasks(make_zip: ZipMaker, tmp_path: Path) -> None:
    data = make_zip("aged.zip", AGED)
    out, table = tmp_path / "result.json", tmp_path / "answers.csv"
    expected = _run(
        "--model", "mien-age-gender", "--data", data, "--split", "val", "--out", out, "--predictions", table
    )
    result, entry = json.loads(out.read_text()), Registry().get("mien-age-gender")

    assert expected.exit_code == 0
    assert (result["model"], result["digest"], result["version"]) == (entry.spec.name, entry.digest, entry.spec.version)
    assert result["tasks"] == ["age", "gender"]
    assert result["data"]["file"] == "aged.zip"
    assert len(result["data"]["sha256"]) == 64
    assert (result["split"], result["n"]) == ("val", 2)
    assert result["metrics"]["gender"]["n"] == 2
    assert set(result["metrics"]["age"]["exact"]["by_decade"]) == {"0-9", "20-29"}
    assert str(tmp_path) not in out.read_text()
    assert result["command"] == (
        "python models/training/evaluate.py --model mien-age-gender --data aged.zip --split val "
        "--out result.json --predictions answers.csv"
    )
    rows = _table(table)
    assert list(rows[0]) == ["file", "p_male", "age", "age_low", "age_high"]
    assert [row["file"] for row in rows] == ["a.jpg", "b.jpg"]
    assert all(float(row["age_low"]) <= float(row["age"]) <= float(row["age_high"]) for row in rows)


def test_a_single_task_is_evaluated_without_labels(make_zip: ZipMaker, tmp_path: Path) -> None:
    data = make_zip("bare.zip", ["file", "a.webp", "b.png", "c.jpg"], shape=(70, 50))
    expected = _run("--task", "emotion", "--data", data, "--predictions", tmp_path / "answers.csv")
    result, rows = json.loads(expected.stdout), _table(tmp_path / "answers.csv")

    assert expected.exit_code == 0
    assert result["metrics"] == {"emotion": {}}
    assert list(rows[0]) == [
        "file", "p_angry", "p_disgust", "p_fear", "p_happy", "p_sad", "p_surprise", "p_neutral"
    ]  # fmt: skip
    assert all(sum(float(row[name]) for name in row if name != "file") == pytest.approx(1, abs=1e-5) for row in rows)


def test_a_task_of_a_model_with_two_leaves_the_other_out(make_zip: ZipMaker) -> None:
    result = json.loads(_run("--task", "gender", "--data", make_zip("aged.zip", AGED)).stdout)

    assert set(result["metrics"]) == {"gender"}
    assert result["n"] == 3


def test_calibration_is_reported_before_and_after(make_zip: ZipMaker) -> None:
    """At temperature 1 the served graph returns the untempered answers."""
    figures = json.loads(_run("--model", "mien-age-gender", "--data", make_zip("aged.zip", AGED)).stdout)["metrics"]

    assert set(figures["gender"]["uncalibrated"]) == {"ece", "nll"}
    assert figures["gender"]["uncalibrated"]["nll"] != figures["gender"]["nll"]
    assert set(figures["age"]["exact"]["uncalibrated"]) == {"coverage", "mean_width"}
    valued = _run("--model", "ssrnet-age", "--data", make_zip("aged.zip", AGED)).stdout
    assert "uncalibrated" not in valued


@pytest.mark.parametrize("name", ["mien-age-gender", "mien-emotion"])
def test_untempered_answers_are_those_of_the_graph_at_temperature_one(name: str) -> None:
    entry = Registry().get(name).whole
    tasks, side = [task for task in TASKS if task in entry.spec.heads], entry.spec.crop.size
    crops = np.random.default_rng(0).integers(0, 256, (5, side, side, 3), np.uint8)
    heads = {task: head.model_copy(update={"temperature": 1.0}) for task, head in entry.spec.heads.items()}
    cold = dataclasses.replace(entry, spec=entry.spec.model_copy(update={"heads": heads}))
    reported = uncalibrated.answers(entry, tasks, evaluate.predict(entry, tasks, crops), crops)

    for task in tasks:
        wanted = TorchModel(cold, task).predict(crops)
        for key, values in reported[task].items():
            np.testing.assert_allclose(values, wanted[key], rtol=1e-3, atol=1e-5)


def test_wider_crops_repeat_the_edge_and_shrink_the_face() -> None:
    chip = np.zeros((1, 80, 80, 3), np.uint8)
    chip[:, 20:60, 20:60] = 255
    wanted = CropSpec(size=80, scale=2.1, center_y=0.475)
    (wide,) = recrop.cut_again(chip, recrop.FRAMES["utkface"], wanted)

    assert recrop.cut_again(chip, recrop.FRAMES["utkface"], recrop.FRAMES["utkface"]).tolist() == chip.tolist()
    assert wide[:, :, 0].astype(float).sum() / 255 == pytest.approx(20 * 20, rel=0.1)


def test_a_model_of_the_store_is_evaluated(make_zip: ZipMaker, model_store: Path) -> None:
    entry = Registry().get("ssrnet-age")
    spec = entry.spec.model_copy(update={"name": "my-age"})
    spec.write(model_store / "my-age.json")
    (model_store / entry.path.name).write_bytes(entry.read())
    try:
        result = json.loads(_run("--model", "my-age", "--data", make_zip("aged.zip", AGED), "--scale", "1.8").stdout)
    finally:
        for path in model_store.iterdir():
            path.unlink()

    assert (result["model"], result["scale"]) == ("my-age", 1.8)
    assert result["command"].endswith(" --scale 1.8")


def test_cost_is_measured_on_demand(make_zip: ZipMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "_ROUNDS", 2)
    result = json.loads(_run("--task", "gender", "--cost", "--data", make_zip("aged.zip", AGED)).stdout)
    measured = result["metrics"]["cost"]

    assert measured["parameters"] > 0
    assert measured["bytes"] > 0
    assert list(measured["milliseconds"]["gender"]) == ["1", "8", "32"]
    assert result["command"].endswith(" --cost")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "exactly one of --model and --task"),
        (["--model", "mien-emotion", "--task", "age"], 2, "exactly one of --model and --task"),
        (["--task", "mood"], 2, "mood"),
        (["--model", "nobody"], 1, "unknown model 'nobody'; available: mien-"),
        (["--task", "age", "--split", "test"], 1, "no rows of split 'test'"),
        (["--task", "age", "--data", "none.zip"], 1, "none.zip does not exist"),
        (["--task", "age", "--out", "no/such/folder/result.json"], 2, "does not exist"),
    ],
)
def test_invalid_usage_is_reported(make_zip: ZipMaker, options: list[str], code: int, message: str) -> None:
    expected = _run("--data", make_zip("aged.zip", AGED), *options)

    assert expected.exit_code == code
    assert message in " ".join(expected.stderr.replace("│", " ").split())
    assert expected.stdout == ""


def test_a_failure_leaves_no_files(make_zip: ZipMaker, tmp_path: Path) -> None:
    data = make_zip("aged.zip", AGED[:2], pictures=False)
    expected = _run("--task", "age", "--data", data, "--out", tmp_path / "r.json", "--predictions", tmp_path / "p.csv")

    assert expected.exit_code == 1
    assert "line 2 (a.jpg): the zip does not contain this file" in expected.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["aged.zip"]


def test_the_data_is_never_overwritten(make_zip: ZipMaker) -> None:
    data = make_zip("aged.zip", AGED)
    before = data.read_bytes()

    assert _run("--task", "age", "--data", data, "--out", data).exit_code == 2
    assert data.read_bytes() == before


def test_the_command_runs_as_a_script_and_fails_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "models" / "training" / "evaluate.py"), "--task", "age", "--data", "none.zip"]
    reported = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert reported.returncode == 1
    assert reported.stderr == "error: none.zip does not exist or is not a file\n"


@pytest.mark.shared
def test_accuracy_on_real_faces_is_above_chance(shared: Path, make_zip: ZipMaker) -> None:
    with zipfile.ZipFile(shared / "data" / "utkface.zip") as archive:
        header, *lines = archive.read("labels.csv").decode().splitlines()
        chosen = [line for line in lines if line.endswith(",val")][::8]
        data = make_zip("some.zip", [header, *chosen], pictures=False)
        with zipfile.ZipFile(data, "a") as copy:
            for line in chosen:
                copy.writestr(line.split(",")[0], archive.read(line.split(",")[0]))
    figures = json.loads(_run("--model", "mien-age-gender", "--data", data).stdout)["metrics"]

    assert len(chosen) > 200
    assert figures["gender"]["accuracy"] > 0.85
    assert figures["age"]["exact"]["mae"] < 9
    assert 0.7 < figures["age"]["exact"]["coverage"] < 0.9
