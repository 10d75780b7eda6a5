"""The base of all groups of settings."""

from pydantic import BaseModel, ConfigDict


class Group(BaseModel):
    """A frozen group of settings; unknown keys are errors, and each field's docstring is its description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
