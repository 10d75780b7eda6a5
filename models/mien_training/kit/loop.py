"""The training loop of a kit: as many steps as fit in a stage's seconds, with a moving average of the weights."""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mien_training.checkpoint import make_optimizer
from mien_training.kit.clock import Stage

_WARM_UP = 0.05  # share of the stage
_DECAY = 0.999  # of the moving average, per step
_STEPS_AHEAD = 8  # the card may lag behind by this many steps; the clock counts finished work


def optimise(
    net: nn.Module,
    step: Callable[[nn.Module, float], Tensor],
    *,
    seconds: float,
    learning_rate: float,
    weight_decay: float,
    compiled: bool,
) -> tuple[nn.Module, int, float]:
    """Train `net` for `seconds`; return the moving average of its weights, the number of steps and the last loss.

    `step` gets the network and the elapsed share of the stage (0 to 1) and returns the loss. The learning rate rises in
    the first 5 % of the stage and falls to zero by a cosine.
    """
    net.train()
    average = copy.deepcopy(net)
    optimizer = make_optimizer(net, learning_rate=learning_rate, weight_decay=weight_decay)
    called: nn.Module = torch.compile(net) if compiled else net  # type: ignore[assignment]
    device = next(net.parameters()).device
    stage, steps, loss = Stage(seconds), 0, torch.zeros(())
    while steps == 0 or stage.share < 1:
        share = min(stage.share, 1.0)
        rate = share / _WARM_UP if share < _WARM_UP else (1 + math.cos(math.pi * share)) / 2
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * rate
        loss = step(called, share)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        steps += 1
        _blend(average, net, min(_DECAY, (1 + steps) / (10 + steps)))
        if device.type == "cuda" and steps % _STEPS_AHEAD == 0:
            torch.cuda.synchronize(device)
    return average.eval(), steps, loss.item()


def _blend(average: nn.Module, net: nn.Module, decay: float) -> None:
    with torch.no_grad():
        mean = [value for value in average.state_dict().values() if value.is_floating_point()]
        last = [value for value in net.state_dict().values() if value.is_floating_point()]
        torch._foreach_lerp_(mean, last, 1 - decay)
