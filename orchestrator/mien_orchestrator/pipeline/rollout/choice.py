"""Choose the models of a request: sticky per request id, so that a repeated call has the same models."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mien_models.spec import CropSpec, Task
from mien_orchestrator.pipeline.rollout.variants import Variant

_SPACE = 2**64


@dataclass(frozen=True, slots=True)
class Route:
    """A model that gets a share of the requests."""

    variant: Variant
    share: float
    """Share of the requests, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The models of one request beside the stable ones, by task."""

    named: Mapping[Task, Variant] = field(default_factory=dict)
    """Models that the request names; they answer."""
    canaries: Mapping[Task, Variant] = field(default_factory=dict)
    """Models that answer in place of the stable ones, unless they fail."""
    shadows: Mapping[Task, Variant] = field(default_factory=dict)
    """Models whose answers are compared with those of the stable ones."""

    def crops(self) -> set[CropSpec]:
        """Return the crops that these models take."""
        groups = (self.named, self.canaries, self.shadows)
        return {variant.crop(task) for group in groups for task, variant in group.items()}


def is_chosen(request_id: str, share: float, purpose: str) -> bool:
    """Return whether a request belongs to a share of all requests, by a hash of its id.

    A request of a smaller share belongs to every larger one too.

    Args:
        request_id: Id of the request.
        share: The share, 0 to 1.
        purpose: What the share is for; shares for different purposes are independent.

    """
    digest = hashlib.blake2b(f"{purpose} {request_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * _SPACE


def choose(
    tasks: Sequence[Task],
    named: Mapping[Task, Variant],
    canaries: Mapping[Task, Route],
    shadows: Mapping[Task, Route],
    request_id: str,
) -> Choice:
    """Choose the models of a request.

    All canaries with one share get the same requests, so that a model of several tasks runs once. Shadows get requests
    of which the stable models answer the task.

    Args:
        tasks: The requested tasks.
        named: Models that the request names.
        canaries: The canary of each task that has one.
        shadows: The shadow of each task that has one.
        request_id: Id of the request.

    """

    def routed(routes: Mapping[Task, Route], purpose: str, taken: Mapping[Task, Variant]) -> dict[Task, Variant]:
        return {
            task: routes[task].variant
            for task in tasks
            if task in routes and task not in taken and is_chosen(request_id, routes[task].share, purpose)
        }

    own = {task: variant for task, variant in named.items() if task in tasks}
    chosen = routed(canaries, "canary", own)
    return Choice(own, chosen, routed(shadows, "shadow", {**own, **chosen}))
