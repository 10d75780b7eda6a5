"""A run's weights, optimiser and epoch in one file, from which the run goes on after a stop."""

from pathlib import Path

import torch
from torch import nn


def make_optimizer(net: nn.Module, *, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """Return the optimiser of a network; biases and the scales of normalisations do not decay."""
    decayed = [p for p in net.parameters() if p.ndim > 1]
    plain = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True)


def save(path: Path, epoch: int, net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write the file in one step, so that a stop never leaves half of it; `epoch` is how many are done."""
    partial = path.with_suffix(".partial")
    torch.save({"epoch": epoch, "net": net.state_dict(), "optimizer": optimizer.state_dict()}, partial)
    partial.replace(path)


def restore(path: Path, net: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Put network and optimiser into the state of the file and return its epoch; 0, and no change, without a file."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    net.load_state_dict(state["net"])
    optimizer.load_state_dict(state["optimizer"])
    epoch: int = state["epoch"]
    return epoch
