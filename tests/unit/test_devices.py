"""Tests of devices of ONNX Runtime: names, missing providers, and no silent fallback to the CPU."""

import numpy as np
import onnxruntime
import pytest

from mien.errors import DetectorError, ModelError, SettingsError
from mien_models.detectors import create
from mien_models.registry import Registry
from mien_models.runtimes import Device, load
from mien_orchestrator.build import check_devices, served_models
from mien_orchestrator.settings import Settings


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("cpu", "cpu (CPUExecutionProvider)"),
        ("cuda", "cuda (CUDAExecutionProvider)"),
        ("cuda:1", "cuda:1 (CUDAExecutionProvider)"),
        ("tensorrt:0", "tensorrt:0 (TensorrtExecutionProvider)"),
        ("openvino", "openvino (OpenVINOExecutionProvider)"),
        ("openvino:GPU.1", "openvino:GPU.1 (OpenVINOExecutionProvider)"),
        ("coreml", "coreml (CoreMLExecutionProvider)"),
    ],
)
def test_a_device_has_an_execution_provider(text: str, name: str) -> None:
    assert Device.parse(text).name == name


@pytest.mark.parametrize("text", ["gpu", "", "cuda:", "cuda:a", "cpu:0", "coreml:1", "CUDA", "cuda 0", "cuda:-1"])
def test_an_unknown_device_is_an_error_of_settings_too(text: str) -> None:
    with pytest.raises(ModelError, match="device"):
        Device.parse(text)
    for setting in ("detector.device", "tasks.age.device"):
        with pytest.raises(SettingsError, match=r"device"):
            Settings.load({setting: text})


@pytest.mark.parametrize(
    ("device", "advice"),
    [
        ("cuda", "pip install onnxruntime-gpu"),
        ("tensorrt", "onnxruntime-gpu tensorrt"),
        ("openvino", "pip install onnxruntime-openvino"),
        ("coreml", "onnxruntime for macOS"),
    ],
)
def test_a_device_without_its_provider_is_refused_with_what_to_install(device: str, advice: str) -> None:
    if Device.parse(device).provider in onnxruntime.get_available_providers():
        pytest.skip(f"{device} is installed here")
    with pytest.raises(ModelError, match=f"model mien-emotion: the device '{device}' needs .*{advice}"):
        load(Registry().get("mien-emotion"), "emotion", device=device)
    with pytest.raises(DetectorError, match=advice):
        create("mien", long_side=640, device=device)
    with pytest.raises(ModelError, match=f"task gender: .*{advice}"):
        check_devices(Settings.load({"tasks.gender.device": device}))


def test_the_haar_detector_runs_on_the_cpu_alone() -> None:
    with pytest.raises(DetectorError, match=r"runs on the CPU, not on 'cuda': unset detector\.device"):
        create("haar", long_side=640, device="cuda")


def test_a_provider_that_cannot_be_used_is_no_silent_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with CUDA libraries of another version: ONNX Runtime lists the provider, but falls back to the CPU."""
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("CUDA is installed here")
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    with pytest.raises(ModelError, match=r"CUDAExecutionProvider|onnxruntime-gpu"):
        load(Registry().get("mien-emotion"), "emotion", device="cuda")


def test_other_devices_than_the_cpu_use_the_float32_file() -> None:
    registry = Registry()
    settings = Settings.load({"tasks.emotion.device": "openvino"})
    models = served_models(settings, registry)
    weights = registry.get("mien-emotion").spec.weights
    assert weights
    assert models["emotion"].digest == f"sha256:{weights.sha256}"
    assert models["age"] == registry.for_task("age")


def test_reserved_gpus_need_a_device() -> None:
    with pytest.raises(SettingsError, match="num_gpus reserves GPUs, but the device is cpu"):
        Settings.load({"tasks.age.num_gpus": 1})
    assert Settings.load({"tasks.age": {"num_gpus": 0.5, "device": "cuda"}}).tasks["age"].num_gpus == 0.5


@pytest.mark.skipif("OpenVINOExecutionProvider" not in onnxruntime.get_available_providers(), reason="no OpenVINO")
def test_openvino_answers_as_the_cpu() -> None:
    crops = np.random.default_rng(1).integers(0, 256, (3, 48, 48, 3), np.uint8)
    entry = Registry().get("mien-emotion")
    there = load(entry, "emotion", device="openvino")
    assert there.device == "openvino (OpenVINOExecutionProvider)"
    expected = load(entry.whole, "emotion").predict(crops)["probabilities"]
    assert np.allclose(there.predict(crops)["probabilities"], expected, atol=0.02)
