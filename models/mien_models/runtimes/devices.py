"""Devices of ONNX Runtime: parse a setting such as `cuda:1`, and check that its execution provider is used."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mien_models.errors import ModelError

if TYPE_CHECKING:
    import onnxruntime


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of device."""

    provider: str
    install: str
    """Advice for installing the provider."""
    option: str = ""
    """Option of the provider that selects one of several devices."""
    fallbacks: tuple[str, ...] = ()
    """Providers, before the CPU, for operators that this one lacks."""


_KINDS: Mapping[str, _Kind] = {
    "cpu": _Kind("CPUExecutionProvider", "pip install onnxruntime"),
    "cuda": _Kind(
        "CUDAExecutionProvider",
        "pip uninstall onnxruntime && pip install onnxruntime-gpu, with the CUDA and cuDNN versions that it requires",
        "device_id",
    ),
    "tensorrt": _Kind(
        "TensorrtExecutionProvider",
        "pip uninstall onnxruntime && pip install onnxruntime-gpu tensorrt",
        "device_id",
        ("CUDAExecutionProvider",),
    ),
    "openvino": _Kind(
        "OpenVINOExecutionProvider", "pip uninstall onnxruntime && pip install onnxruntime-openvino", "device_type"
    ),
    "coreml": _Kind("CoreMLExecutionProvider", "it is part of onnxruntime for macOS"),
}

_DEVICE = re.compile(r"([a-z]+)(?::([A-Za-z0-9_.:-]+))?")

DEVICES = ", ".join(_KINDS)
"""The kinds of devices, for messages."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device of ONNX Runtime: `cpu`, `cuda`, `cuda:0`, `tensorrt:0`, `openvino`, `openvino:GPU` or `coreml`."""

    kind: str
    selected: str = ""
    """Number or name of one of several devices; empty for the provider's own choice."""

    @classmethod
    def parse(cls, text: str) -> "Device":
        """Parse the device of a setting.

        Args:
            text: A kind, and for those with several devices a colon and the number or name of one.

        Raises:
            ModelError: The device is unknown.

        """
        found = _DEVICE.fullmatch(text)
        kind = _KINDS.get(found[1]) if found else None
        if found is None or kind is None or (found[2] and not kind.option):
            raise ModelError(f"unknown device {text!r}; choose one of {DEVICES}, or one of several, such as cuda:1")
        if found[2] and kind.option == "device_id" and not found[2].isdecimal():
            raise ModelError(f"device {text!r}: a number follows the colon, such as {found[1]}:0")
        return cls(found[1], found[2] or "")

    @property
    def provider(self) -> str:
        """Name of ONNX Runtime's execution provider."""
        return _KINDS[self.kind].provider

    @property
    def name(self) -> str:
        """The device and its provider, such as `cuda:0 (CUDAExecutionProvider)`."""
        return f"{self.kind}{':' if self.selected else ''}{self.selected} ({self.provider})"

    def require(self, title: str) -> list[str]:
        """Check that the execution provider is installed.

        Args:
            title: The model or detector, for messages: `model mien-emotion`.

        Returns:
            The installed providers.

        Raises:
            ModelError: It is not installed; the message has what to install.

        """
        import onnxruntime  # imported here: settings are validated without it

        kind = _KINDS[self.kind]
        available: list[str] = onnxruntime.get_available_providers()
        if kind.provider not in available:
            raise ModelError(
                f"{title}: the device {self.kind!r} needs ONNX Runtime's {kind.provider}, which is not installed "
                f"(installed: {', '.join(available)}): {kind.install}"
            )
        return available

    def open(self, data: bytes, options: "onnxruntime.SessionOptions", title: str) -> "onnxruntime.InferenceSession":
        """Load an ONNX file on the device.

        ONNX Runtime would otherwise run on the CPU without an error if a provider or its libraries are missing.

        Args:
            data: The ONNX file.
            options: Options of the session.
            title: Name of the file's owner, for messages: `model mien-emotion`.

        Raises:
            ModelError: The file is not an ONNX file that ONNX Runtime can run, or the device is not available.

        """
        import onnxruntime

        kind, available = _KINDS[self.kind], self.require(title)
        chosen = {kind.option: self.selected} if self.selected else {}
        fallbacks = [name for name in (*kind.fallbacks, "CPUExecutionProvider") if name in available]
        providers: list[str | tuple[str, dict[str, str]]] = [(kind.provider, chosen), *fallbacks]
        try:
            opened = onnxruntime.InferenceSession(
                data, options, providers=providers if self.kind != "cpu" else fallbacks
            )
        except Exception as error:  # ONNX Runtime's errors have no common class of their own
            raise ModelError(f"{title}: ONNX Runtime cannot load it: {str(error).partition(chr(10))[0]}") from error
        if opened.get_providers()[0] != kind.provider:
            raise ModelError(
                f"{title}: {kind.provider} cannot be used here, only {', '.join(opened.get_providers())}; "
                f"check the device {self.kind!r} and its libraries: {kind.install}"
            )
        return opened
