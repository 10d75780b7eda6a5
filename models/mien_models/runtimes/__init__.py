"""Run a model: crops in, named arrays out; by ONNX Runtime (the default) or by PyTorch (a GPU, or on request)."""

from mien_models.runtimes.base import Model
from mien_models.runtimes.loading import RuntimeName, load

__all__ = ["Model", "RuntimeName", "load"]
