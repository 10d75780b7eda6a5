"""Save and restore training checkpoints: weights, optimiser state and epoch in one file."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol

import torch
from torch import nn

from mien_models.errors import ModelError


class Stateful(Protocol):
    """A network or an optimiser."""

    def state_dict(self) -> dict[str, Any]:
        """Return the complete training state."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> object:
        """Restore the state that `state_dict` returned."""


def make_optimizer(net: nn.Module, *, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """Return AdamW for a network, without weight decay on biases and normalisation scales."""
    decayed = [p for p in net.parameters() if p.ndim > 1]
    plain = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True)


def save(path: Path, epoch: int, **parts: Stateful) -> None:
    """Write the checkpoint atomically; `epoch` is the number of completed epochs."""
    partial = path.with_suffix(".partial")
    torch.save({"epoch": epoch} | {name: part.state_dict() for name, part in parts.items()}, partial)
    partial.replace(path)


def restore(path: Path, **parts: Stateful) -> int:
    """Restore each part from the checkpoint and return its epoch; return 0 and change nothing if there is no file.

    Raises `ModelError` if the file is damaged or belongs to another network.
    """
    if not path.exists():
        return 0
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        epoch: int = state["epoch"]
    except (RuntimeError, KeyError, ValueError, EOFError, UnpicklingError) as error:
        raise ModelError(f"the checkpoint {path} is damaged or of another network; remove it to start again") from error
    return epoch
