"""Tests of robustness, cost and precision measurements, on synthetic faces and the shipped models."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from mien_models.registry import Registry
from mien_training.evaluation import cost, evaluate, quantization, recrop, robustness

from .conftest import ZipMaker

FACES = ("file,age,split", *(f"{number}.png,{number},val" for number in range(6)))


def _run(*options: object) -> Result:
    app = typer.Typer()
    app.command()(robustness.main)
    return CliRunner().invoke(app, [str(option) for option in options])


def _photograph(side: int) -> np.ndarray:
    """Return a soft picture, (1, side, side, 3): what it shows does not depend on single pixels."""
    across = np.linspace(0, 3, side)
    grey = 128 + 100 * np.sin(across)[None, :] * np.cos(across)[:, None]
    return np.repeat(grey[None, :, :, None], 3, 3).astype(np.uint8)


def test_robustness_is_measured_on_a_sample_chosen_by_the_seed(make_zip: ZipMaker, tmp_path: Path) -> None:
    data, out = make_zip("utkface.zip", FACES), tmp_path / "result.json"
    options = ["--model", "mien-age-gender", "--data", data, "--faces", 4]
    first, again, other = (json.loads(_run(*options, "--seed", seed).stdout) for seed in (1, 1, 2))

    assert _run(*options, "--out", out).exit_code == 0
    assert json.loads(out.read_text())["command"].endswith(
        "--data utkface.zip --split val --faces 4 --seed 0 --out result.json"
    )
    assert first["n"] == 4
    assert first == again
    assert first["changes"] != other["changes"]
    assert len(first["changes"]) == 6
    for reported in first["changes"].values():
        assert 0 <= reported["gender"]["changed"] <= 1
        assert abs(reported["age"]["mean_years"]) <= reported["age"]["mean_absolute_years"]


@pytest.mark.parametrize(("options", "message"), [
    (["--model", "nobody"], "unknown model 'nobody'"),
    (["--model", "ssrnet-age", "--split", "test"], "no rows of split"),
])  # fmt: skip
def test_invalid_options_are_refused(make_zip: ZipMaker, options: list[str], message: str) -> None:
    result = _run(*options, "--data", make_zip("utkface.zip", FACES))

    assert result.exit_code == 1
    assert message in result.stderr


def test_each_change_changes_the_crops() -> None:
    framed = recrop.FRAMES["utkface"]
    chip = _photograph(80)
    variants = robustness.vary(chip, framed, framed, np.random.default_rng(0))
    gaps = {name: np.abs(cut().astype(float) - chip).mean() for name, cut in variants.items()}

    assert all(gap > 0 for gap in gaps.values())
    assert gaps["half the size"] < 2
    assert gaps["double the size"] < 2
    assert gaps["box shifted by 5%"] > 3


def test_calls_are_measured_interleaved() -> None:
    order: list[str] = []
    times = cost.in_turns({name: (lambda name=name: order.append(name)) for name in ("a", "b")})

    assert times.keys() == {"a", "b"}
    assert order[:6] == ["a", "b"] * 3


def test_smaller_variants_predict_nearly_the_same_as_the_shipped_model(tmp_path: Path) -> None:
    entry = Registry().get("mien-emotion").whole
    faces = np.random.default_rng(0).integers(0, 256, (8, 48, 48, 3), np.uint8)
    wanted = evaluate.predict(entry, ["emotion"], faces)["probabilities"]

    for name, reach in {"float16": 0.01, "int8": 0.3}.items():
        variant = quantization.make_variants(entry, faces, tmp_path)[name]
        reported = evaluate.predict(variant, ["emotion"], faces)["probabilities"]
        assert variant.digest != entry.digest
        assert np.abs(reported - wanted).max() < reach, name
