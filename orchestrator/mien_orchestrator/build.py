"""Build the service from the settings, with its models in this process or behind another backend."""

from collections.abc import Mapping
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mien.errors import InvalidRequestError, ModelError, NotFoundError
from mien.v1 import face_service_pb2 as pb
from mien_models.detectors import Detector, create
from mien_models.images.limits import ImageLimits
from mien_models.images.memory import PixelBudget
from mien_models.quality import QualityLimits
from mien_models.registry import Entry, Registry
from mien_models.runtimes import Device, Model, device_name, load, uses_whole
from mien_models.spec import Task
from mien_models.store import ModelStore
from mien_orchestrator.pipeline.backend import Backend, InlineModels, ModelCall
from mien_orchestrator.pipeline.ensemble import Ensemble, Variants
from mien_orchestrator.pipeline.face_stage import FINENESS, BulkheadExecutor, FaceStage
from mien_orchestrator.pipeline.fanout import Fanout, shared
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.pipeline.task_health import TaskHealth
from mien_orchestrator.settings import Settings

if TYPE_CHECKING:
    from mien_orchestrator.telemetry.metrics import Metrics  # needs the extra `serve`


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
    computing: Executor | None = None,
) -> FaceAnalysis:
    """Return the service of one process over a backend.

    Args:
        settings: The settings.
        backend: Runs the models.
        executor: Runs the face stage.
        mode: How the models are run, for people.
        health: What the backend keeps up to date, if it does.
        computing: Runs the models of this process; with it, the service can compare models if the settings allow it.

    """
    registry = make_registry(settings)
    ensemble = Ensemble(
        face_stage=make_face_stage(settings),
        backend=backend,
        models=served_models(settings, registry),
        executor=executor,
        devices={task: device_name(choice.runtime, choice.device) for task, choice in settings.served.items()},
        headroom_s=settings.limits.deadline_headroom_s,
    )
    variants = None
    if computing and settings.http.compare_models:
        variants = Variants(partial(_make_variant, ensemble, settings, computing))
    return FaceAnalysis(ensemble, registry, settings, mode, health or TaskHealth(), variants)


def _make_variant(ensemble: Ensemble, settings: Settings, computing: Executor, models: Mapping[str, str]) -> Ensemble:
    """Return the ensemble with other models of this process for some tasks."""
    tasks = dict(settings.tasks)
    for task, name in models.items():
        if task not in settings.served:
            raise InvalidRequestError(
                f"unknown task {task[:80]!r}; this server has: {', '.join(settings.served)}", reason="TASK_UNKNOWN"
            )
        tasks[task] = tasks[task].model_copy(update={"model": name})
    changed = settings.model_copy(update={"tasks": tasks})
    devices = {task: device_name(choice.runtime, choice.device) for task, choice in changed.served.items()}
    try:
        entries = served_models(changed, make_registry(changed))
        return ensemble.variant(make_inline_backend(changed, computing), entries, devices)
    except ModelError as error:
        raise NotFoundError(str(error), reason="MODEL_UNKNOWN") from error


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
    call: ModelCall = InlineModels(models, executor).call
    if metrics:
        call = metrics.metered(call)
    return Fanout(entries, settings, call, lambda tasks: settings.limits.cpu_threads, health or TaskHealth())


def make_inline_service(
    settings: Settings, seeing: BulkheadExecutor, computing: Executor, mode: pb.DeploymentMode.ValueType
) -> FaceAnalysis:
    """Return the service with all models in this process."""
    health = TaskHealth()
    return make_service(settings, make_inline_backend(settings, computing, health), seeing, mode, health, computing)
