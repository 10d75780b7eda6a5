"""Settings of tasks and orchestrators: models, resources and replicas."""

from typing import Literal, Self, TypeAlias

from pydantic import Field, field_validator, model_validator

from mien_orchestrator.settings.group import Group, check_device


class ScalingSettings(Group):
    """Number of replicas of a deployment in the cluster; passed on to Ray Serve's autoscaling."""

    min_replicas: int = Field(default=1, ge=0)
    """Smallest number of replicas."""
    max_replicas: int = Field(default=1, ge=1)
    """Largest number of replicas."""
    target_ongoing_requests: float = Field(default=1, gt=0)
    """Mean calls in flight per replica at which it is used as it should be; about 1 per core (`docs/scale.md`)."""
    upscale_delay_s: float = Field(default=5, ge=0)
    """Time for which the load must be high before a replica is started."""
    downscale_delay_s: float = Field(default=60, ge=0)
    """Time for which the load must be low before a replica is stopped."""
    metrics_interval_s: float = Field(default=1, gt=0)
    """Time between two reports of the calls in flight."""
    look_back_period_s: float = Field(default=3, gt=0)
    """Time over which reports are averaged; longer than `metrics_interval_s`."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas ({self.min_replicas}) is above max_replicas ({self.max_replicas})")
        if self.look_back_period_s <= self.metrics_interval_s:
            raise ValueError("look_back_period_s must be above metrics_interval_s")
        return self


RolloutRole: TypeAlias = Literal["canary", "shadow"]
"""What a further model of a task is for."""

ROLES: tuple[RolloutRole, ...] = ("canary", "shadow")
"""The settings of a task that name a further model."""


class CanarySettings(Group):
    """A further model of a task, which answers a share of the requests."""

    model: str | None = None
    """Name of a model that answers a share of the requests, of which the stable model answers those that it does not;
    unset: no canary."""
    share: float = Field(default=0.1, gt=0, le=1)
    """Share of the requests, chosen by their ids."""
    scaling: ScalingSettings = ScalingSettings()


class ShadowSettings(Group):
    """A further model of a task, whose answers are compared with those of the stable model and never returned."""

    model: str | None = None
    """Name of a model whose answers are compared with those of the stable model, and not returned; unset: no shadow."""
    share: float = Field(default=0.1, gt=0, le=1)
    """Share of the requests that are compared, chosen by their ids; fewer if the shadow is busy."""
    scaling: ScalingSettings = ScalingSettings()


class TaskSettings(Group):
    """Model, runtime and replicas of a task."""

    enabled: bool = True
    """Whether the task is served."""
    model: str | None = None
    """Name of a model of `mien models list`; unset: the task's default model."""
    runtime: Literal["onnx", "torch"] = "onnx"
    """ONNX Runtime, or PyTorch (extra `torch`)."""
    device: str = "cpu"
    """Where the model runs: `cpu`, `cuda`, `cuda:1`, `tensorrt`, `openvino`, `openvino:GPU` or `coreml` (execution
    providers of ONNX Runtime, which must be installed); with the torch runtime one of PyTorch's names."""
    threads: int = Field(default=1, ge=1)
    """CPU threads per model call."""
    num_cpus: float = Field(default=1, ge=0)
    """CPUs that Ray reserves per replica."""
    num_gpus: float = Field(default=0, ge=0)
    """GPUs that Ray reserves per replica."""
    timeout_s: float | None = Field(default=None, gt=0)
    """Time limit of one call to a worker of the cluster, after which it counts as hung; unset: ten times the recent
    99th percentile, at least 1 s and 20 ms per face."""
    scaling: ScalingSettings = ScalingSettings()
    canary: CanarySettings = CanarySettings()
    shadow: ShadowSettings = ShadowSettings()
    max_ongoing_requests: int = Field(default=16, ge=1)
    """Calls that a replica accepts concurrently."""
    max_queued_requests: int = Field(default=256, ge=1)
    """Calls that wait for a replica, per orchestrator; further calls are rejected."""

    @model_validator(mode="after")
    def _on_its_device(self) -> Self:
        if self.runtime == "onnx":
            check_device(self.device)
        if self.num_gpus and self.device == "cpu":
            raise ValueError("num_gpus reserves GPUs, but the device is cpu; set device, for example to cuda")
        return self


class OrchestratorSettings(Group):
    """The orchestrators of the cluster."""

    num_cpus: float = Field(default=1, ge=0)
    """CPUs that Ray reserves per orchestrator."""
    scaling: ScalingSettings = ScalingSettings()

    @field_validator("scaling")
    @classmethod
    def _never_none(cls, scaling: ScalingSettings) -> ScalingSettings:
        if scaling.min_replicas < 1:
            raise ValueError("min_replicas must be 1 or more: only a running orchestrator can be called")
        return scaling
