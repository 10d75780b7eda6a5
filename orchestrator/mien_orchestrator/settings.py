"""Every setting of the server and of the embedded engine, in one place.

Arguments count over the environment (`MIEN_*`, nested with `__`: `MIEN_TASKS__AGE__MODEL`), the environment over the
settings file (YAML, named by an argument or by `MIEN_CONFIG`), the file over the defaults below. The file holds the
settings themselves, or is a Ray Serve config of the cluster (`mien_orchestrator.cluster.serve_config`).
Nothing else reads the environment, but for the SDK's `MIEN_SERVER` and `MIEN_TOKEN`. `XDG_CACHE_HOME` moves the default
model store, `OTEL_EXPORTER_OTLP_ENDPOINT` is the default of `otlp_endpoint`.
"""

import logging
import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from mien.errors import SettingsError
from mien_models.catalog import YUNET
from mien_models.registry import TASKS
from mien_models.spec import Task
from mien_models.store import ModelStore, default_folder
from mien_orchestrator.cluster.serve_config import is_serve_config, settings_of

_REFERENCE = "reference"
_PREFIX = "MIEN_"
_SDK = {"MIEN_SERVER", "MIEN_TOKEN"}

_log = logging.getLogger(__name__)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ScalingSettings(_Frozen):
    """How many replicas a deployment of the cluster has; passed on to Ray Serve's autoscaling."""

    min_replicas: int = Field(default=1, ge=0)
    max_replicas: int = Field(default=1, ge=1)
    target_ongoing_requests: float = Field(default=4, gt=0)
    """Calls in flight that one replica is meant to have; more of them start another replica."""
    upscale_delay_s: float = Field(default=5, ge=0)
    downscale_delay_s: float = Field(default=60, ge=0)
    metrics_interval_s: float = Field(default=1, gt=0)
    """Seconds between two reports of the calls in flight."""
    look_back_period_s: float = Field(default=3, gt=0)
    """Seconds over which reports are averaged; more than `metrics_interval_s`."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas ({self.min_replicas}) is above max_replicas ({self.max_replicas})")
        if self.look_back_period_s <= self.metrics_interval_s:
            raise ValueError("look_back_period_s must be above metrics_interval_s")
        return self


class TaskSettings(_Frozen):
    """Which model serves a task, and on what."""

    enabled: bool = True
    """Whether the task is served at all."""
    model: str | None = None
    """Name in the registry; None takes the task's default."""
    runtime: Literal["onnx", "torch"] = "onnx"
    device: str = "cpu"
    """PyTorch's name of the device; for the torch runtime alone."""
    threads: int = Field(default=1, ge=1)
    """CPU threads of one model call."""
    num_cpus: float = Field(default=1, ge=0)
    """CPUs that Ray reserves for one replica."""
    num_gpus: float = Field(default=0, ge=0)
    timeout_s: float | None = Field(default=None, gt=0)
    """Time limit of one call to a worker of the cluster, in seconds, after which it counts as hung; None adapts: ten
    times the recent 99th percentile, at least 1 s and 20 ms per face."""
    scaling: ScalingSettings = ScalingSettings()
    max_ongoing_requests: int = Field(default=16, ge=1)
    """Calls that one replica takes at once."""
    max_queued_requests: int = Field(default=256, ge=1)
    """Calls that wait for a replica, per orchestrator; more are refused."""


class OrchestratorSettings(_Frozen):
    """The orchestrators of the cluster."""

    num_cpus: float = Field(default=1, ge=0)
    scaling: ScalingSettings = ScalingSettings()

    @field_validator("scaling")
    @classmethod
    def _never_none(cls, scaling: ScalingSettings) -> ScalingSettings:
        if scaling.min_replicas < 1:
            raise ValueError("min_replicas must be 1 or more: only a running orchestrator can be called")
        return scaling


class Settings(BaseSettings):
    """All settings. Frozen: a changed setting is a new server."""

    model_config = SettingsConfigDict(env_prefix="MIEN_", env_nested_delimiter="__", frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    """Address that the server listens on; 0.0.0.0 for all."""
    port: int = Field(default=50051, ge=0, le=65535)
    """0 takes a free one (not for the cluster, whose orchestrators share it)."""
    tls_certificate: Path | None = None
    """PEM file of the server's certificate chain; with it and `tls_key`, callers must speak TLS. All files of TLS and
    tokens are read again when they change."""
    tls_key: Path | None = None
    """PEM file of the certificate's key."""
    tls_client_ca: Path | None = None
    """PEM file of authorities; with it, callers need a certificate that one of them signed."""
    token_file: Path | None = None
    """File with a line `name:sha256` for each token that may call, as `mien token` prints; None lets everybody call."""
    reflection: bool = True
    """Whether callers such as grpcurl may ask which services and messages there are."""
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    """From which level on Mien's own lines are logged; "info" has one a call."""
    metrics_port: int = Field(default=0, ge=0, le=65535)
    """Port of the metrics for Prometheus; 0 for none. Orchestrators that share a machine take this one and the next."""
    otlp_endpoint: str | None = Field(default_factory=lambda: os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None)
    """OpenTelemetry collector that gets a trace of each call, such as http://localhost:4317; None sends none."""
    detector: Literal["mien", "yunet", "haar"] = "mien"
    detector_path: Path | None = None
    """YuNet's ONNX file, or the JSON specification of a detector trained here.

    None looks in the model store; then, for YuNet, under `shared`, for Mien's own in the package.
    """
    detector_long_side: int = Field(default=640, ge=64)
    """Photographs are shrunk to this many pixels before faces are sought; small faces need more."""
    detector_min_score: float | None = Field(default=None, ge=0, le=1)
    """Detections below it are dropped; None takes the detector's own."""
    detector_tiles: bool = False
    """Whether finer looks at a photograph with small faces go on to its own resolution; else to 4 times the first."""
    reduced_decoding: bool = True
    """Whether a JPEG far larger than the detector's picture is decoded at a half, a quarter or an eighth of its size,
    as long as the models still get the pixels of every face."""
    max_concurrent_requests: int = Field(default=128, ge=1)
    """Images analyzed at once in one process; more are refused, to be tried again later, as are those whose callers
    would have gone by the time of the answer."""
    max_concurrent_bytes: int = Field(default=256 * 2**20, ge=1)
    """Bytes of the image files analyzed at once; beyond them a further image is refused."""
    reply_margin_s: float = Field(default=0.05, ge=0)
    """Seconds kept back from a caller's time: what has no answer by then is late, and the rest is replied in time."""
    breaker_failures: int = Field(default=3, ge=1)
    """Failures in a row after which a model is left alone; its tasks then fail at once instead of slowing the rest."""
    breaker_pause_s: float = Field(default=5, gt=0)
    """Seconds for which it is; then one request is let through, to see."""
    max_image_bytes: int = Field(default=20 * 2**20, gt=0, le=2**31 - 2**20)
    max_image_pixels: int = Field(default=50_000_000, gt=0)
    max_decoded_bytes: int = Field(default_factory=lambda: 2**20 * (256 + 96 * (os.cpu_count() or 1)), ge=1)
    """Memory for the images that are decoded at the same time, in bytes: 256 MiB and 96 MiB per CPU. Others wait; an
    image that alone needs more is decoded while no other is."""
    max_faces: int = Field(default=100, gt=0)
    min_face: float = Field(default=16, ge=0)
    """Faces whose box is lower than this many pixels of the photograph get no answers; 0 answers all."""
    min_sharpness: float = Field(default=0.111, ge=0, le=1)
    """Faces less sharp than this get no answers (`docs/quality.md` says what it measures); 0 answers all."""
    model_store: Path = Field(default_factory=default_folder)
    """Folder of the models that `mien models` brought in; it may be missing."""
    model_folders: tuple[Path, ...] = ()
    """Folders with further models (a JSON specification beside each ONNX file)."""
    tasks: dict[Task, TaskSettings] = Field(default={}, validate_default=True)
    """Settings of each task; a task that is not named is served with the defaults."""
    orchestrator: OrchestratorSettings = OrchestratorSettings()
    cpu_threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Threads that decode, detect and run inline models."""
    drain_seconds: float = Field(default=10, ge=0)
    """Time that calls in flight have to end when the server stops."""
    shared: Path = Path("../shared")
    """Folder of reference weights that are not part of the package."""
    config: Path | None = None
    """The settings file."""

    @field_validator("tasks")
    @classmethod
    def _all_tasks(cls, tasks: dict[Task, TaskSettings]) -> dict[Task, TaskSettings]:
        complete = {task: tasks.get(task, TaskSettings()) for task in TASKS}
        if not any(task.enabled for task in complete.values()):
            raise ValueError("every task is switched off; leave at least one enabled")
        return complete

    @model_validator(mode="after")
    def _whole_tls(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together; name both files")
        if self.tls_client_ca and not self.tls_certificate:
            raise ValueError("tls_client_ca needs tls_certificate and tls_key")
        return self

    @property
    def served(self) -> dict[Task, TaskSettings]:
        """The tasks that are switched on, in the order in which replies list them."""
        return {task: settings for task, settings in self.tasks.items() if settings.enabled}

    @property
    def yunet(self) -> Path:
        """Where YuNet's file is looked for."""
        return ModelStore(self.model_store).detector_file("yunet") or self.shared / _REFERENCE / YUNET.file

    @property
    def detector_file(self) -> Path | None:
        """The detector's file; None for the one that ships, or where there is none."""
        if self.detector_path or self.detector == "haar":
            return self.detector_path
        if self.detector == "yunet":
            return self.yunet
        return ModelStore(self.model_store).detector_file("mien")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the settings file under the environment."""
        named = init_settings().get("config") or env_settings().get("config")
        file = InitSettingsSource(settings_cls, init_kwargs=_read(Path(named)) if named else {})
        return init_settings, env_settings, file

    @classmethod
    def load(cls, **arguments: Any) -> "Settings":
        """Read all sources; an argument that is None does not count. Raises `SettingsError`.

        Variables that look like misspelt settings are warned of; others are none of ours, such as those that Kubernetes
        sets for a Service with such a name.
        """
        for variable, meant in _misspelt(os.environ, cls.model_fields).items():
            _log.warning("%s is not a setting; did you mean %s?", variable, meant)
        try:
            return cls(**{name: value for name, value in arguments.items() if value is not None})
        except ValidationError as error:
            raise _wrong(error) from error
        except SourceError as error:
            raise SettingsError(f"wrong settings: {error}") from error


def _misspelt(environment: Mapping[str, str], fields: Iterable[str]) -> dict[str, str]:
    """Return the variables that are nearly the name of a setting, each with that name."""
    settings = {f"{_PREFIX}{field.upper()}" for field in fields}
    strange = {name for name in environment if name.startswith(_PREFIX) and "__" not in name} - settings - _SDK
    close = {name: get_close_matches(name, settings, n=1, cutoff=0.9) for name in sorted(strange)}
    return {name: found[0] for name, found in close.items() if found}


def _wrong(error: ValidationError) -> SettingsError:
    lines = [": ".join(filter(None, (".".join(map(str, e["loc"])), e["msg"]))) for e in error.errors()]
    return SettingsError("wrong settings: " + "; ".join(lines))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise SettingsError(f"settings file {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings file {path} is not YAML: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise SettingsError(f"settings file {path} holds no settings (a mapping of names to values)")
    if not is_serve_config(content):
        return content
    try:
        return settings_of(content)
    except ValueError as error:
        raise SettingsError(f"settings file {path}: {error}") from error
