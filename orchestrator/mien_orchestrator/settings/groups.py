"""The groups of settings, except those of authentication, tasks and orchestrators."""

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, field_validator, model_validator
from pydantic_settings import NoDecode

from mien_models.store import default_folder
from mien_orchestrator.settings.group import Group, check_device

_ORIGIN = re.compile(r"https?://[^/\s?#*]+")


def _computed(text: str) -> dict[str, JsonValue]:
    """Return the schema extra that documents a default which is computed."""
    return {"default_text": text}


class ServerSettings(Group):
    """Address, shutdown and reflection of the gRPC server."""

    host: str = "127.0.0.1"
    """Address that the server listens on: a name, an IPv4 or an IPv6 address; `0.0.0.0` or `::` for all interfaces."""
    port: int = Field(default=50051, ge=0, le=65535)
    """Port that the server listens on; 0 for any free port (not in the cluster, whose orchestrators share it)."""
    drain_s: float = Field(default=10, ge=0)
    """Time that calls in flight have to finish when the server stops."""
    pid_file: Path | None = None
    """File for the process id of `mien serve`, by which `mien rollout` finds the server; unset: none."""
    reflection: bool = True
    """Whether gRPC reflection is served, for tools such as grpcurl."""
    open_inference: bool = True
    """Whether the Open Inference Protocol v2 is served, over gRPC and, with `http.port`, over HTTP."""

    @field_validator("host")
    @classmethod
    def _plain(cls, host: str) -> str:
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if not bare or "/" in bare or bare != bare.strip():
            raise ValueError(f"{host!r} is not an address; use a name or an IP address, without scheme and port")
        if ":" in bare:
            try:
                ipaddress.IPv6Address(bare)
            except ValueError as error:
                raise ValueError(
                    f"{host!r} is not an IPv6 address; use a name or an IP address, and set the port with server.port"
                ) from error
        return bare

    @property
    def is_loopback(self) -> bool:
        """Whether the address is a loopback address."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def address(self, port: int | None = None) -> str:
        """Return `host:port`, an IPv6 address in brackets; `port` replaces the setting."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port if port is None else port}"


class TlsSettings(Group):
    """TLS of the server. Files are PEM, and are reloaded when they change."""

    certificate: Path | None = None
    """File with the server's certificate chain. If it is set, the server requires TLS; requires `key`."""
    key: Path | None = None
    """File with the certificate's private key, without a passphrase."""
    client_ca: Path | None = None
    """File with certificate authorities; if set, callers need a certificate signed by one of them (mutual TLS)."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("tls.certificate and tls.key belong together; set both")
        if self.client_ca and not self.certificate:
            raise ValueError("tls.client_ca needs tls.certificate and tls.key")
        return self


class HttpSettings(Group):
    """HTTP/JSON and the page, beside gRPC: at the same address, with the same TLS files, tokens and limits."""

    enabled: bool = True
    """Whether HTTP is served if there is a port for it."""
    port: int | None = Field(default=None, ge=0, le=65535)
    """Port of HTTP; 0 takes a free one (not in the cluster). Unset: 8080 for `mien serve --inline` on a loopback
    address, otherwise no HTTP."""
    hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Host names that requests may be addressed to; without any, loopback names on a loopback address, and all
    otherwise. In an environment variable separated by commas."""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins of other sites whose pages may call this server, such as `https://example.org`. In an environment
    variable separated by commas."""

    @field_validator("hosts", "cors_origins", mode="before")
    @classmethod
    def _split(cls, names: object) -> object:
        if isinstance(names, str):
            return tuple(name.strip() for name in names.split(",") if name.strip())
        return names

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is not an origin; use scheme and host, such as https://example.org")
        return origins


class LimitsSettings(Group):
    """Limits of a request and of the process."""

    max_image_bytes: int = Field(default=20 * 2**20, gt=0, le=2**31 - 2**20)
    """Largest image file."""
    max_image_pixels: int = Field(default=50_000_000, gt=0)
    """Largest image."""
    max_faces: int = Field(default=100, gt=0)
    """Faces returned per image, the largest first."""
    min_face_px: float = Field(default=16, ge=0)
    """Height of a face's box, in pixels of the image, below which the face gets no predictions; 0 accepts all."""
    min_sharpness: float = Field(default=0.111, ge=0, le=1)
    """Sharpness below which a face gets no predictions (`docs/quality.md` defines it); 0 accepts all."""
    max_concurrent_requests: int = Field(default=128, ge=1)
    """Images analyzed at once per process. Further requests are rejected, as are those that cannot finish before their
    deadline."""
    max_concurrent_bytes: int = Field(default=256 * 2**20, ge=1)
    """Total size of the image files analyzed at once; further requests are rejected. As much again for the frames of
    streams, which wait or are dropped."""
    max_decoded_bytes: int = Field(
        default_factory=lambda: 2**20 * (256 + 96 * (os.cpu_count() or 1)),
        ge=1,
        json_schema_extra=_computed("256 MiB + 96 MiB per CPU"),
    )
    """Memory for the images that are decoded at once. Further images wait; an image that needs more by itself is
    decoded alone."""
    deadline_headroom_s: float = Field(default=0.05, ge=0)
    """Time before a request's deadline at which unfinished tasks become DEADLINE_EXCEEDED, so that the rest is sent
    in time."""
    cpu_threads: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, json_schema_extra=_computed("number of CPUs")
    )
    """Threads that decode and detect, and as many that run models of this process."""


class StreamsSettings(Group):
    """Limits of video streams, per process."""

    max_streams: int = Field(default=64, ge=0)
    """Streams at the same time; further ones are rejected. 0 rejects all."""
    max_frame_rate: float = Field(default=120, gt=0)
    """Frames per second of a stream, by their timestamps; a frame above it is refused."""
    max_frame_pixels: int = Field(default=4096 * 2304, gt=0)
    """Largest frame, width times height; a larger one is refused. The default is 4K."""
    idle_timeout_s: float = Field(default=60, gt=0)
    """Time without a frame after which a stream is ended."""


class DetectorSettings(Group):
    """The face detector."""

    name: Literal["mien", "yunet", "haar"] = "mien"
    """The detector: Mien's own, YuNet (after `mien models fetch yunet`), or OpenCV's Haar cascade."""
    path: Path | None = None
    """YuNet's ONNX file, or the JSON specification of a detector that `mien models train mien` wrote; unset: the one in
    the model store, else the shipped one."""
    device: Annotated[str, AfterValidator(check_device)] = "cpu"
    """Where the detector runs: as for a task, `cpu`, `cuda`, `openvino`, ...; only `cpu` for `haar`."""
    long_side_px: int = Field(default=640, ge=64)
    """Length to which an image's longer side is shrunk for detection; small faces need more."""
    min_score: float | None = Field(default=None, ge=0, le=1)
    """Score below which detections are dropped; unset: the detector's own threshold."""
    tiles: bool = False
    """Whether finer passes for small faces go up to the image's own resolution, instead of 4 times the first pass."""
    four_directions: bool = False
    """Whether an image without a surely upright face is searched again, turned by 90, 180 and 270 degrees: for
    photographs that lie on their side or upside down, without an EXIF orientation. That takes four times as long."""
    reduced_decoding: bool = True
    """Whether a JPEG far larger than the detector's input is decoded at 1/2, 1/4 or 1/8 of its size, if all faces keep
    the pixels that the models need."""


class BreakerSettings(Group):
    """Circuit breaker of each model: after consecutive failures its tasks fail fast."""

    failures: int = Field(default=3, ge=1)
    """Consecutive failures that open the circuit."""
    cooldown_s: float = Field(default=5, gt=0)
    """Time before a half-open probe."""


class TelemetrySettings(Group):
    """Logs, metrics and traces."""

    log_format: Literal["text", "json"] = "text"
    """Format of log lines; `json` writes one object per line."""
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    """Lowest level of Mien's own log lines; `info` includes one line per call."""
    metrics_port: int = Field(default=0, ge=0, le=65535)
    """Port of the Prometheus metrics; 0 for none. Orchestrators on one machine use this port and the following ones."""
    otlp_endpoint: str | None = Field(
        default_factory=lambda: os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None,
        json_schema_extra=_computed("`OTEL_EXPORTER_OTLP_ENDPOINT`, or unset"),
    )
    """OpenTelemetry collector (OTLP over gRPC) for traces, such as `http://localhost:4317`; unset sends none."""


class ModelsSettings(Group):
    """Folders of models, and who selects them."""

    selectable: bool = False
    """Whether a request may name other models than those of the settings (`AnalyzeRequest.models`,
    `?models=emotion:NAME`): any installed model, which is then loaded too; in the cluster, the deployed ones."""

    store: Path = Field(
        default_factory=default_folder,
        json_schema_extra=_computed("`$XDG_CACHE_HOME/mien/models`, or `~/.cache/mien/models`"),
    )
    """Model store: the folder to which `mien models` adds models. It need not exist."""
    folders: Annotated[tuple[Path, ...], NoDecode] = ()
    """Folders with further models (a JSON specification beside each ONNX file); in an environment variable separated by
    `:` (`;` on Windows), as in `PATH`."""

    @field_validator("folders", mode="before")
    @classmethod
    def _split(cls, folders: object) -> object:
        if isinstance(folders, str):
            return tuple(folder for folder in folders.split(os.pathsep) if folder)
        return folders
