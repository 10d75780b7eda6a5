"""Real backends for tests: the fan-out over in-process models, or over a call that fails in a given way."""

from collections.abc import Callable
from concurrent.futures import Executor

from mien_models.registry import Registry
from mien_models.runtimes import load
from mien_orchestrator.build import make_registry, served_models
from mien_orchestrator.pipeline.backend import InlineModels, ModelCall
from mien_orchestrator.pipeline.fanout import Fanout
from mien_orchestrator.pipeline.request_context import RequestContext, begin
from mien_orchestrator.pipeline.task_health import TaskHealth
from mien_orchestrator.settings import Settings


def within(seconds: float) -> RequestContext:
    """Return the context of an analysis with a timeout in seconds."""
    return begin("/mien.v1.FaceAnalysisService/Analyze", timeout=seconds)


def fanout_over(settings: Settings, call: ModelCall, health: TaskHealth | None = None, *, slots: int = 2) -> Fanout:
    """Return the fan-out over a call, with at most `slots` concurrent calls."""
    entries = served_models(settings, make_registry(settings))
    return Fanout(entries, settings, call, lambda tasks: slots, health or TaskHealth())


def inline_models(settings: Settings, executor: Executor) -> InlineModels:
    """Return the default model of each served task, in this process."""
    return InlineModels({task: load(Registry().for_task(task), task) for task in settings.served}, executor)


def fanout(settings: Settings, executor: Executor, wrap: Callable[[ModelCall], ModelCall]) -> Fanout:
    """Return the fan-out over in-process models; `wrap` receives the call that runs them and returns another."""
    return fanout_over(settings, wrap(inline_models(settings, executor).call))
