"""A run's weights, optimiser and epoch in one file, from which the run goes on after a stop."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol

import torch
from torch import nn

from mien_models.errors import ModelError


class Stateful(Protocol):
    """A network or an optimiser."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that changes in a run."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> object:
        """Take over what `state_dict` returned."""


def make_optimizer(net: nn.Module, *, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """Return the optimiser of a network; biases and the scales of normalisations do not decay."""
    decayed = [p for p in net.parameters() if p.ndim > 1]
    plain = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True)


def save(path: Path, epoch: int, **parts: Stateful) -> None:
    """Write the file in one step, so that a stop never leaves half of it; `epoch` is how many are done."""
    partial = path.with_suffix(".partial")
    torch.save({"epoch": epoch} | {name: part.state_dict() for name, part in parts.items()}, partial)
    partial.replace(path)


def restore(path: Path, **parts: Stateful) -> int:
    """Put each part into the state of the file and return its epoch; 0, and no change, without a file.

    Raises `ModelError` for a file that is damaged or of another network.
    """
    if not path.exists():
        return 0
    try:
        state = torch.load(path, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        epoch: int = state["epoch"]
    except (RuntimeError, KeyError, ValueError, EOFError, UnpicklingError) as error:
        raise ModelError(f"the checkpoint {path} is damaged or of another network; remove it to begin again") from error
    return epoch
