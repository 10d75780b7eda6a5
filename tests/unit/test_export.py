"""Tests that every architecture's ONNX file is equal to its PyTorch module, for any batch size."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mien_models import runtimes
from mien_models.export.model import write
from mien_models.networks import ServedModel, build
from mien_models.registry import ANSWERS, Registry
from mien_models.spec import (
    AgeDistributionHead,
    AgeValueHead,
    CropSpec,
    EmotionHead,
    GenderHead,
    Head,
    InputSpec,
    ModelSpec,
    Task,
)

SMALL = {"channels": 3, "outputs": 14, "widths": (4, 8), "depths": (1, 1)}
GENDER = GenderHead(count=2, source="classes")
GENDER_LAST = GenderHead(first=101, count=1)

CASES: dict[str, tuple[dict[str, object], int, str, dict[Task, Head]]] = {
    "emotion_dcnn": ({"outputs": 7}, 48, "grey", {"emotion": EmotionHead(count=7)}),
    "mini_xception": ({"outputs": 2}, 64, "grey", {"gender": GENDER}),
    "residual": (SMALL, 32, "rgb", {"emotion": EmotionHead(first=7)}),
    "simple_cnn": ({"outputs": 2}, 48, "rgb", {"gender": GENDER}),
    "ssrnet": ({"span": 101.0}, 64, "bgr", {"age": AgeValueHead()}),
    "vgg16": ({"outputs": 102}, 32, "rgb", {"age": AgeDistributionHead(), "gender": GENDER_LAST}),
}


@pytest.mark.parametrize("architecture", CASES)
def test_onnx_outputs_equal_the_modules(tmp_path: Path, architecture: str) -> None:
    options, size, colour, heads = CASES[architecture]
    torch.manual_seed(3)
    spec = ModelSpec.model_validate(
        {
            "name": architecture,
            "version": "1.0.0",
            "summary": "A net for tests.",
            "architecture": architecture,
            "options": options,
            "crop": CropSpec(size=size),
            "input": InputSpec.model_validate({"colour": colour, "shift": 0, "scale": 255}),
            "heads": heads,
        }
    )
    net = build(spec)
    written = write(spec, net, tmp_path)
    entry = Registry([tmp_path]).get(architecture)
    assert entry.spec == written
    assert written.parameters == sum(parameter.numel() for parameter in net.parameters())

    crops = np.random.default_rng(5).integers(0, 256, (3, size, size, 3), np.uint8)
    with torch.inference_mode():
        expected = ServedModel(spec, net).eval()(torch.from_numpy(crops))
    for task in heads:
        model = runtimes.load(entry, task)
        for count in (0, 1, 3):
            message = model.predict(crops[:count])
            for name in ANSWERS[task]:
                assert np.allclose(message[name], expected[name][:count].numpy(), atol=1e-4, rtol=1e-4)


def test_half_precision_files_are_half_as_large_and_equal_in_both_runtimes(tmp_path: Path) -> None:
    torch.manual_seed(3)
    whole = ModelSpec(
        name="whole",
        version="1.0.0",
        summary="A net for tests.",
        architecture="residual",
        options={"channels": 3, "outputs": 102, "widths": (32, 64), "depths": (1, 2)},
        crop=CropSpec(size=32),
        input=InputSpec(colour="rgb", shift=127.5, scale=127.5),
        heads={"age": AgeDistributionHead(), "gender": GENDER_LAST},
    )
    net = build(whole)
    halved = whole.model_copy(update={"name": "halved", "half": True})
    large, small = ((tmp_path / f"{write(spec, net, tmp_path).name}.onnx").stat().st_size for spec in (whole, halved))
    assert small < 0.6 * large

    registry = Registry([tmp_path])
    crops = np.random.default_rng(5).integers(0, 256, (3, 32, 32, 3), np.uint8)
    served = runtimes.load(registry.get("halved"), "age").predict(crops)
    by_torch = runtimes.load(registry.get("halved"), "age", runtime="torch").predict(crops)
    before = runtimes.load(registry.get("whole"), "age").predict(crops)
    for name in ANSWERS["age"]:
        assert np.allclose(served[name], by_torch[name], atol=1e-4, rtol=1e-4)
        assert np.allclose(served[name], before[name], atol=0.05)
