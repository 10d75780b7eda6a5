"""Build the service from the settings, with its models in this process or behind another backend."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from mien.errors import ModelError, NotFoundError
from mien.v1 import face_service_pb2 as pb
from mien_models.detectors import Detector, create
from mien_models.images.limits import ImageLimits
from mien_models.images.memory import PixelBudget
from mien_models.quality import QualityLimits
from mien_models.registry import Entry, Registry
from mien_models.runtimes import Device, Model, device_name, load, uses_whole
from mien_models.spec import Task
from mien_models.store import ModelStore
from mien_orchestrator.pipeline.admission.fair_executor import FairExecutor
from mien_orchestrator.pipeline.backend import Backend, InlineModels, ModelCall
from mien_orchestrator.pipeline.ensemble import Ensemble
from mien_orchestrator.pipeline.face_stage import FINENESS, BulkheadExecutor, FaceStage
from mien_orchestrator.pipeline.fanout import Fanout, shared
from mien_orchestrator.pipeline.rollout.choice import Route
from mien_orchestrator.pipeline.rollout.counts import RolloutCounts
from mien_orchestrator.pipeline.rollout.observer import Observers, Role, RolloutObserver
from mien_orchestrator.pipeline.rollout.rollouts import Rollouts
from mien_orchestrator.pipeline.rollout.shadows import Shadows
from mien_orchestrator.pipeline.rollout.variants import Variant, Variants
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.pipeline.task_health import TaskHealth
from mien_orchestrator.settings import ROLES, RolloutRole, Settings

if TYPE_CHECKING:
    from mien_orchestrator.telemetry.metrics import Metrics  # needs the extra `serve`


MakeBackend: TypeAlias = Callable[[Settings, Role], Backend]
"""Makes the backend of a model beside the stable ones, from settings whose only tasks are those of this model."""

MakeVariant: TypeAlias = Callable[[Sequence[Task], str, Role], Variant]
"""Makes a variant from its tasks, the name of its model and its role; raises `ModelError`."""


def make_executor(settings: Settings) -> BulkheadExecutor:
    """Return a bounded pool for heavy work.

    Seeing (decode, detect, cut) and the models have one each: in a common queue every waiting image would be seen
    before the first one's models run.
    """
    return BulkheadExecutor(settings.limits.cpu_threads)


def model_folders(settings: Settings) -> tuple[Path, ...]:
    """Return the folders with models beside the package's own: the model store, if it exists, then `models.folders`."""
    store = ModelStore(settings.models.store)
    return (*((store.folder,) if store.exists() else ()), *settings.models.folders)


def make_registry(settings: Settings) -> Registry:
    """Return the models of the package, of the model store and of `models.folders`; raises `ModelError`."""
    return Registry(model_folders(settings))


def served_models(settings: Settings, registry: Registry) -> dict[Task, Entry]:
    """Return the model of each task that is switched on; raises `ModelError`."""
    chosen = {task: (registry.for_task(task, choice.model), choice) for task, choice in settings.served.items()}
    return {task: entry.whole if uses_whole(c.runtime, c.device) else entry for task, (entry, c) in chosen.items()}


def check_rollouts(settings: Settings, registry: Registry) -> None:
    """Check that the models of canaries and shadows exist, and differ from the stable ones; raises `ModelError`."""
    for task, choice in settings.served.items():
        for role in ROLES:
            name = settings.rollout(role).get(task)
            if name and registry.for_task(task, name).spec.name == registry.for_task(task, choice.model).spec.name:
                raise ModelError(f"task {task}: the {role} {name!r} is the stable model; choose another model")


def check_devices(settings: Settings) -> None:
    """Check that ONNX Runtime's execution providers of the tasks are installed; raises `ModelError`."""
    for task, choice in settings.served.items():
        if choice.runtime == "onnx":
            Device.parse(choice.device).require(f"task {task}")


def make_detector(settings: Settings) -> Detector:
    """Return the detector of the settings; raises `DetectorError`."""
    return create(
        settings.detector.name,
        model_path=settings.detector_file,
        long_side=settings.detector.long_side_px,
        min_score=settings.detector.min_score,
        tiles=settings.detector.tiles,
        four_directions=settings.detector.four_directions,
        device=settings.detector.device,
    )


def make_face_stage(settings: Settings) -> FaceStage:
    """Return the face stage of the settings; raises `DetectorError`."""
    reduced = settings.detector.reduced_decoding and not settings.detector.tiles  # which want all pixels
    return FaceStage(
        detector=make_detector(settings),
        limits=ImageLimits(max_bytes=settings.limits.max_image_bytes, max_pixels=settings.limits.max_image_pixels),
        max_faces=settings.limits.max_faces,
        quality_limits=QualityLimits(
            min_face_px=settings.limits.min_face_px, min_sharpness=settings.limits.min_sharpness
        ),
        enough=FINENESS * settings.detector.long_side_px if reduced else None,
        budget=PixelBudget(settings.limits.max_decoded_bytes),
    )


def make_service(
    settings: Settings,
    backend: Backend,
    executor: BulkheadExecutor,
    mode: pb.DeploymentMode.ValueType,
    health: TaskHealth | None = None,
    make_backend: MakeBackend | None = None,
    observers: Sequence[RolloutObserver] = (),
) -> FaceAnalysis:
    """Return the service of one process over a backend.

    Args:
        settings: The settings.
        backend: Runs the models.
        executor: Runs the face stage.
        mode: How the models are run, for people.
        health: What the backend keeps up to date, if it does.
        make_backend: Makes the backend of other models; without it, the service has only the stable ones.
        observers: Are notified of the answers of all models.

    Raises:
        DetectorError: The detector is invalid.
        ModelError: A model is unknown or invalid.

    """
    registry = make_registry(settings)
    counts = RolloutCounts()
    observer = Observers([counts, *observers])
    rollouts = Rollouts(_variant(settings, registry, backend, observer), {}, {}, Shadows(observer))
    variants = None
    if make_backend:
        check_rollouts(settings, registry)
        make = partial(_make_variant, settings, registry, make_backend, observer)
        rollouts.canaries = _routes(settings, "canary", make)
        rollouts.shadows = _routes(settings, "shadow", make)
        if settings.models.selectable:
            running = [route.variant for routes in (rollouts.canaries, rollouts.shadows) for route in routes.values()]
            loaded = mode != pb.DEPLOYMENT_MODE_CLUSTER
            variants = Variants([rollouts.stable, *running], partial(_load_named, settings, make) if loaded else None)
    ensemble = Ensemble(
        face_stage=make_face_stage(settings),
        rollouts=rollouts,
        executor=executor,
        headroom_s=settings.limits.deadline_headroom_s,
    )
    return FaceAnalysis(ensemble, registry, settings, mode, health or TaskHealth(), counts, variants)


def _routes(settings: Settings, role: RolloutRole, make: MakeVariant) -> dict[Task, Route]:
    """Return the canary or shadow of each task that has one; tasks with the same model share it."""
    routes: dict[Task, Route] = {}
    for name, tasks in grouped(settings.rollout(role)).items():
        variant = make(tasks, name, role)
        routes |= {task: Route(variant, getattr(settings.tasks[task], role).share) for task in tasks}
    return routes


def grouped(models: Mapping[Task, str]) -> dict[str, list[Task]]:
    """Return the tasks of each model."""
    tasks: dict[str, list[Task]] = {}
    for task, name in models.items():
        tasks.setdefault(name, []).append(task)
    return tasks


def _load_named(settings: Settings, make: MakeVariant, task: Task, name: str) -> Variant:
    """Load a model for all tasks that it answers; raises `NotFoundError`."""
    try:
        heads = make_registry(settings).for_task(task, name).spec.heads
        return make([each for each in settings.served if each in heads], name, "named")
    except ModelError as error:
        raise NotFoundError(str(error), reason="MODEL_UNKNOWN") from error


def _make_variant(
    settings: Settings,
    registry: Registry,
    make_backend: MakeBackend,
    observer: RolloutObserver,
    tasks: Sequence[Task],
    name: str,
    role: Role,
) -> Variant:
    """Return a variant with one model for some tasks; raises `ModelError`."""
    changed = with_model(settings, tasks, name)
    return _variant(changed, registry, make_backend(changed, role), observer)


def _variant(settings: Settings, registry: Registry, backend: Backend, observer: RolloutObserver) -> Variant:
    devices = {task: device_name(choice.runtime, choice.device) for task, choice in settings.served.items()}
    return Variant(served_models(settings, registry), devices, backend, observer)


def with_model(settings: Settings, tasks: Sequence[Task], name: str) -> Settings:
    """Return settings in which only some tasks are enabled, with another model."""
    changed = {
        task: choice.model_copy(update={"model": name} if task in tasks else {"enabled": False})
        for task, choice in settings.tasks.items()
    }
    return settings.model_copy(update={"tasks": changed})


def make_inline_backend(
    settings: Settings, executor: Executor, health: TaskHealth | None = None, metrics: "Metrics | None" = None
) -> Fanout:
    """Return the backend with all models in this process, loaded and run once; `metrics` count its calls."""
    entries = served_models(settings, make_registry(settings))
    models: dict[Task, Model] = {}
    for tasks in shared(entries, settings.served):
        task, choice = tasks[0], settings.served[tasks[0]]
        model = load(entries[task], task, runtime=choice.runtime, device=choice.device, threads=choice.threads)
        models |= dict.fromkeys(tasks, model)
    call: ModelCall = InlineModels(models, executor, executor.low if isinstance(executor, FairExecutor) else None).call
    if metrics:
        call = metrics.metered(call)
    return Fanout(entries, settings, call, lambda tasks: settings.limits.cpu_threads, health or TaskHealth())


def make_inline_service(
    settings: Settings,
    seeing: BulkheadExecutor,
    computing: Executor,
    mode: pb.DeploymentMode.ValueType,
    metrics: "Metrics | None" = None,
) -> FaceAnalysis:
    """Return the service with all models in this process; `metrics` count its calls."""
    health = TaskHealth()
    backend = make_inline_backend(settings, computing, health, metrics)

    def make_backend(changed: Settings, role: Role) -> Backend:
        own = ThreadPoolExecutor(1, thread_name_prefix="mien-shadow") if role == "shadow" else computing
        return make_inline_backend(changed, own)

    observers = [metrics] if metrics else []
    return make_service(settings, backend, seeing, mode, health, make_backend, observers)
