"""All settings of the server and of the embedded engine, in groups; nothing else reads the environment.

Values passed to `Settings.load` override the environment (`MIEN_*`), the environment overrides the settings file, and
the file overrides the defaults. `docs/settings.md` lists every setting.
"""

from mien_orchestrator.settings.auth import AuthSettings, JwtSettings
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
from mien_orchestrator.settings.scaling import (
    ROLES,
    CanarySettings,
    OrchestratorSettings,
    RolloutRole,
    ScalingSettings,
    ShadowSettings,
    TaskSettings,
)
from mien_orchestrator.settings.settings import Settings

__all__ = [
    "ROLES",
    "AuthSettings",
    "BreakerSettings",
    "CanarySettings",
    "DetectorSettings",
    "HttpSettings",
    "JwtSettings",
    "LimitsSettings",
    "ModelsSettings",
    "OrchestratorSettings",
    "RolloutRole",
    "ScalingSettings",
    "ServerSettings",
    "Settings",
    "ShadowSettings",
    "StreamsSettings",
    "TaskSettings",
    "TelemetrySettings",
    "TlsSettings",
]
