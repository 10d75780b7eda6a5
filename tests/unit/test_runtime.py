"""Tests that both runtimes return equal predictions and reject invalid batches."""

from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.errors import CropError, ModelError
from mien_models.registry import ANSWERS, Registry
from mien_models.runtimes import RuntimeName, load
from mien_models.spec import Task

CASES = [(entry.spec.name, task) for entry in Registry().entries() for task in entry.spec.heads]


def crops(size: int, count: int = 5) -> NDArray[np.uint8]:
    """Return smooth pictures with noise: faces' statistics are closer to this than to pure noise."""
    generator = np.random.default_rng(7)
    ramp = np.linspace(30, 220, size)[None, :, None, None] * np.ones((count, 1, size, 3))
    return (ramp + generator.normal(0, 20, ramp.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_onnx_and_torch_give_the_same_answers(name: str, task: Task) -> None:
    entry = Registry().get(name).whole
    stack = crops(entry.spec.crop.size)
    ours, theirs = (load(entry, task, runtime=runtime).predict(stack) for runtime in get_args(RuntimeName))
    assert tuple(ours) == tuple(theirs) == ANSWERS[task]
    for key in ours:
        assert np.abs(ours[key] - theirs[key]).max() < 1e-4 * max(1.0, np.abs(theirs[key]).max()), key


def test_pytorch_tells_the_float32_file_and_onnx_runtime_the_one_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien_models.registry.fast_int8", lambda: True)
    entry = Registry().get("mien-emotion")
    assert load(entry, "emotion", runtime="torch").entry.digest == entry.whole.digest
    assert load(entry, "emotion").entry.digest == entry.digest != entry.whole.digest


@pytest.mark.parametrize(("name", "task"), CASES)
def test_predictions_do_not_depend_on_the_batch(name: str, task: Task) -> None:
    model = load(Registry().get(name), task)
    stack = crops(model.entry.spec.crop.size)
    together = model.predict(stack)
    for index in range(len(stack)):
        alone = model.predict(stack[index : index + 1])
        for key in alone:
            assert np.allclose(alone[key][0], together[key][index], atol=1e-4, rtol=1e-4), key


@pytest.mark.parametrize(("name", "task"), CASES)
def test_answers_are_in_their_ranges(name: str, task: Task) -> None:
    model = load(Registry().get(name), task)
    message = model.predict(crops(model.entry.spec.crop.size))
    match task:
        case "age":
            assert (message["low"] <= message["years"]).all()
            assert (message["years"] <= message["high"]).all()
            assert (message["low"] >= 0).all()
        case "gender":
            assert ((message["p_male"] >= 0) & (message["p_male"] <= 1)).all()
        case "emotion":
            assert np.allclose(message["probabilities"].sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("runtime", get_args(RuntimeName))
def test_an_empty_batch_has_empty_predictions(runtime: RuntimeName) -> None:
    model = load(Registry().get("mien-emotion"), "emotion", runtime=runtime)
    size = model.entry.spec.crop.size
    assert model.predict(np.zeros((0, size, size, 3), np.uint8))["probabilities"].shape == (0, 7)


@pytest.mark.parametrize("runtime", get_args(RuntimeName))
@pytest.mark.parametrize(
    "stack",
    [np.zeros((1, 10, 10, 3), np.uint8), np.zeros((48, 48, 3), np.uint8), np.zeros((1, 48, 48, 3), np.float32)],
    ids=["size", "axes", "type"],
)
def test_an_invalid_batch_is_rejected_with_the_expected_shape(runtime: RuntimeName, stack: NDArray[np.uint8]) -> None:
    model = load(Registry().get("mien-emotion"), "emotion", runtime=runtime)
    with pytest.raises(CropError, match=r"takes \(N, 48, 48, 3\) uint8"):
        model.predict(stack)


@pytest.mark.parametrize("device", ["cuda:77", "abacus"])
def test_an_unavailable_device_is_reported(device: str) -> None:
    with pytest.raises(ModelError, match=f"cannot run on the device '{device}'"):
        load(Registry().get("mini-xception-emotion"), "emotion", runtime="torch", device=device)
