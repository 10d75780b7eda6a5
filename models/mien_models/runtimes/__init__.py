"""Run models with ONNX Runtime (the default) or PyTorch (GPUs, or on request)."""

from mien_models.runtimes.base import Model
from mien_models.runtimes.loading import RuntimeName, load

__all__ = ["Model", "RuntimeName", "load"]
