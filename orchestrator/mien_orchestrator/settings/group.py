"""The base of all groups of settings."""

from pydantic import BaseModel, ConfigDict

from mien_models.errors import ModelError
from mien_models.runtimes import Device


class Group(BaseModel):
    """A frozen group of settings; unknown keys are errors, and each field's docstring is its description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def check_device(device: str) -> str:
    """Validate a device of ONNX Runtime; raises `ValueError` if its kind is unknown."""
    try:
        Device.parse(device)
    except ModelError as error:
        raise ValueError(error.message) from error
    return device
