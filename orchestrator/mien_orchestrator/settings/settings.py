"""All settings, and loading them from their sources."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from mien.errors import SettingsError
from mien_models.registry import TASKS
from mien_models.spec import Task
from mien_models.store import ModelStore
from mien_orchestrator.settings import messages
from mien_orchestrator.settings.auth import AuthSettings
from mien_orchestrator.settings.groups import (
    BreakerSettings,
    DetectorSettings,
    HttpSettings,
    LimitsSettings,
    ModelsSettings,
    ServerSettings,
    StreamsSettings,
    TelemetrySettings,
    TlsSettings,
)
from mien_orchestrator.settings.scaling import OrchestratorSettings, RolloutRole, TaskSettings
from mien_orchestrator.settings.sources import PREFIX, Source, merged, read_sources


class Settings(BaseSettings):
    """All settings, in groups. Frozen."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
    )

    server: ServerSettings = ServerSettings()
    http: HttpSettings = HttpSettings()
    tls: TlsSettings = TlsSettings()
    auth: AuthSettings = AuthSettings()
    limits: LimitsSettings = Field(default_factory=LimitsSettings)
    streams: StreamsSettings = StreamsSettings()
    detector: DetectorSettings = DetectorSettings()
    breaker: BreakerSettings = BreakerSettings()
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings)
    models: ModelsSettings = Field(default_factory=ModelsSettings)
    tasks: dict[Task, TaskSettings] = Field(default={}, validate_default=True)
    """Settings per task; a task without settings has the defaults."""
    orchestrator: OrchestratorSettings = OrchestratorSettings()

    @field_validator("tasks")
    @classmethod
    def _all_tasks(cls, tasks: dict[Task, TaskSettings]) -> dict[Task, TaskSettings]:
        complete = {task: tasks.get(task, TaskSettings()) for task in TASKS}
        if not any(task.enabled for task in complete.values()):
            raise ValueError("every task is disabled; enable at least one")
        return complete

    @property
    def served(self) -> dict[Task, TaskSettings]:
        """The enabled tasks, in the order in which responses list them."""
        return {task: settings for task, settings in self.tasks.items() if settings.enabled}

    def rollout(self, role: RolloutRole) -> dict[Task, str]:
        """Return the canary or shadow of each served task that has one, by its model's name."""
        found = {task: getattr(settings, role).model for task, settings in self.served.items()}
        return {task: name for task, name in found.items() if name}

    def http_port(self, default: int | None = None) -> int | None:
        """Return the port of HTTP, or None if it is not served.

        Args:
            default: Used on a loopback address if the settings have no port; None for no HTTP then.

        """
        if not self.http.enabled:
            return None
        return default if self.http.port is None and self.server.is_loopback else self.http.port

    @property
    def detector_file(self) -> Path | None:
        """The detector's file: `detector.path`, or the file in the model store; None for a detector of the package."""
        return self.detector.path or ModelStore(self.models.store).detector_file(self.detector.name)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Restrict pydantic's sources to the arguments: `load` reads and merges all sources."""
        return (init_settings,)

    @classmethod
    def load(cls, values: Mapping[str, object] | None = None, *, config: str | Path | None = None) -> "Settings":
        """Read and merge all sources.

        Variables that look like misspelt settings are logged as warnings; other `MIEN_*` variables are ignored, such as
        those that Kubernetes sets for Services.

        Args:
            values: Settings that override all other sources: groups as in the settings file, or dotted names, such as
                `{"server.port": 0}`.
            config: The settings file or Ray Serve config (YAML); None for the one named by `MIEN_CONFIG`, if any.

        Returns:
            The settings, every task included.

        Raises:
            SettingsError: The file cannot be read, or a setting is unknown or invalid; the message contains the source,
                the setting, and the nearest known name.

        """
        return cls.from_sources(read_sources(cls, values or {}, config))

    @classmethod
    def from_sources(cls, sources: list[Source]) -> "Settings":
        """Merge and validate sources, the first of which have precedence; raises `SettingsError`."""
        try:
            return cls(**merged(sources))
        except ValidationError as error:
            raise SettingsError(messages.describe(cls, error, sources)) from error
