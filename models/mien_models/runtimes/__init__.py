"""Run models with ONNX Runtime (the default) or PyTorch (GPUs, or on request)."""

from mien_models.runtimes.base import Model
from mien_models.runtimes.devices import Device
from mien_models.runtimes.loading import RuntimeName, device_name, load, uses_whole

__all__ = ["Device", "Model", "RuntimeName", "device_name", "load", "uses_whole"]
