"""Cluster mode on one machine: start Ray, deploy the application, wait until it is ready, and shut down."""

import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import FrameType
from typing import Any, TypeAlias

from mien.errors import MienError, ServerUnavailableError, SettingsError
from mien_orchestrator.build import check_devices, check_rollouts, make_detector, make_registry, served_models
from mien_orchestrator.cluster.log_forwarding import LogReceiver
from mien_orchestrator.cluster.processes import descendants, kill
from mien_orchestrator.edge import health_probe
from mien_orchestrator.edge.auth.tokens import Authentication
from mien_orchestrator.edge.tls import server_credentials
from mien_orchestrator.settings import Settings, TaskSettings
from mien_orchestrator.settings.origins import differences

SWITCHES = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",  # gRPC between replicas, user code in the router's loop
    "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0",  # enabled by the switch above; our own server replaces it
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(32 * 2**20),
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
}
"""Environment variables that every process of the cluster needs before it imports Ray."""

_HEALTH_SECONDS = 10.0

_WATCH_SECONDS = 1.0
"""Seconds between two checks of Ray's processes."""

_SIGNAL_SECONDS = 0.005
"""Seconds after which our signal handlers are set again, since Ray may replace them."""

_RAY_PROCESSES = ("gcs_server", "raylet")

_FIXED = ("server.host", "server.port", "server.pid_file", "http.", "telemetry.metrics_port")
"""Settings that a reload does not change."""

_LOG = logging.getLogger(__name__)

_LOGS = "(see /tmp/ray/session_latest/logs/serve)"


def serve(settings: Settings, ready: Callable[[str, str], None], load: Callable[[], Settings]) -> None:
    """Serve until SIGINT or SIGTERM; call `ready` with the address and the URL of HTTP once the server is ready.

    SIGHUP reloads the settings that `load` reads: Serve replaces the replicas of the deployments that have changed, one
    by one. If something is invalid, the former settings stay. A signal during the start takes effect after the current
    step: interrupting Ray would leave processes behind. Raises `ServerUnavailableError` if the cluster does not start,
    or a process of Ray ends; `DetectorError` and `ModelError` before that.
    """
    stop, reload = threading.Event(), threading.Event()
    cluster = Cluster(settings)
    # One thread for Ray until the end: Ray's processes are killed when the thread that started them ends.
    with ThreadPoolExecutor(1, thread_name_prefix="mien-ray") as ray_thread:
        try:
            for step in (cluster.check, cluster.start_ray, cluster.deploy):
                _finish(ray_thread.submit(step), stop, reload)
                if stop.is_set():
                    return
            ready(cluster.address, cluster.http_address)
            while not stop.wait(_WATCH_SECONDS):
                cluster.check_ray()
                if reload.is_set():
                    reload.clear()
                    _finish(ray_thread.submit(cluster.reload, load), stop, reload)
        finally:
            _handle_signals(signal.SIG_IGN, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the shutdown
            ray_thread.submit(cluster.shutdown).result()


def _finish(step: "Future[None]", stop: threading.Event, reload: threading.Event) -> None:
    """Wait for a step that runs on another thread, and handle signals meanwhile.

    Ray sets handlers of its own during its start: in Python on the main thread alone, in C++ in every process, whose
    handler would end this one with a stack dump. So ours are set again and again.
    """
    while not step.done():
        _handle_signals(lambda *_: stop.set(), lambda *_: reload.set())
        wait([step], timeout=_SIGNAL_SECONDS)
    _handle_signals(lambda *_: stop.set(), lambda *_: reload.set())
    step.result()


_Handler: TypeAlias = "Callable[[int, FrameType | None], None] | signal.Handlers"


def _handle_signals(stop: _Handler, reload: _Handler) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    signal.signal(signal.SIGHUP, reload)


class Cluster:
    """A Ray cluster of this process, with the application deployed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._started = False
        self._lost = False
        """Whether Ray has failed and cannot be stopped in order."""
        self._logs: LogReceiver | None = None
        self.address = settings.server.address()
        http_port = settings.http_port()
        scheme = "https" if settings.tls.certificate else "http"
        self.http_address = "" if http_port is None else f"{scheme}://{settings.server.address(http_port)}"

    def check(self) -> None:
        """Raise errors that would otherwise appear only in a replica's log."""
        self._check_ports()
        _check(self._settings)

    def start_ray(self) -> None:
        """Start Ray on this machine."""
        os.environ.update(SWITCHES)
        if "RAY_AUTH_MODE" not in os.environ:  # Ray listens on all interfaces
            os.environ["RAY_AUTH_MODE"] = "token"
            if not os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}:
                os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        os.umask(0o077)  # for Ray's logs and sockets
        import ray  # after the environment variables are set

        self._started = True
        ray.init(
            address="local",
            num_cpus=self._logical_cpus(),
            include_dashboard=False,
            object_store_memory=100 * 2**20,
            _node_ip_address="127.0.0.1",
            log_to_driver=False,
            logging_level="error",
        )

    def _check_ports(self) -> None:
        """Fail early if a port is taken: the orchestrators listen with SO_REUSEPORT, also beside another program."""
        server = self._settings.server
        family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
        for port in (server.port, self._settings.http_port()):
            if port is None:
                continue
            try:
                with socket.create_server((server.host, port), family=family):
                    pass
            except OSError as error:
                raise ServerUnavailableError(f"cannot listen on {server.address(port)}: {error.strerror}") from error

    def _logical_cpus(self) -> int:
        """Return the CPUs reported to Ray: enough for all replicas, since on one machine they are only counted."""
        orchestrator = self._settings.orchestrator
        reserved = orchestrator.num_cpus * orchestrator.scaling.max_replicas
        reserved += sum(task.num_cpus * _replicas(task) for task in self._settings.served.values())
        return max(os.cpu_count() or 1, int(reserved) + 1)

    def deploy(self) -> None:
        """Deploy the application and wait until its server is ready."""
        from ray import serve as ray_serve

        from mien_orchestrator.cluster.app import build

        self._logs = self._logs or LogReceiver()
        app = build(self._settings.model_dump(mode="json"), self._logs.path)
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        ray_serve.start(proxy_location="Disabled", logging_config={"log_level": "WARNING"})
        try:
            ray_serve.run(app, name="mien", route_prefix=None)
        except RuntimeError as error:
            raise ServerUnavailableError(f"the cluster did not start: {error} {_LOGS}") from error
        self._check_health()

    def reload(self, load: Callable[[], Settings]) -> None:
        """Deploy changed settings, and log the outcome; if they are invalid, the former ones stay."""
        former = self._settings
        try:
            changed = load()
            _check(changed)
            fixed = [name for name in differences(former, changed) if name.startswith(_FIXED)]
            if fixed:
                raise SettingsError(f"{', '.join(fixed)}: requires a restart")
            self._settings = changed
            self.deploy()
        except MienError as error:
            self._settings = former
            _LOG.error("the reload failed, keeping the previous settings and models: %s", error)
        else:
            _LOG.info("reloaded: %s", ", ".join(differences(former, changed)) or "the same settings")

    def _check_health(self) -> None:
        try:
            health_probe.check_own(self._settings, timeout=_HEALTH_SECONDS)
        except ServerUnavailableError as error:
            raise ServerUnavailableError(f"the cluster started, but {error.message} {_LOGS}") from error

    def check_ray(self) -> None:
        """Raise `ServerUnavailableError` if a process of Ray that the cluster needs has ended."""
        ended = [name for name, _ in _ray_node().dead_processes() if name in _RAY_PROCESSES]
        if ended:
            self._lost = True
            raise ServerUnavailableError(f"Ray's process {ended[0]} has ended; start the server again {_LOGS}")

    def shutdown(self) -> None:
        """Stop the application and Ray, if they were started."""
        if not self._started:
            return
        import ray
        from ray import serve as ray_serve

        if self._lost:
            below = descendants(os.getpid())  # workers would wait for Ray, and hold the port, for another minute
            _ray_node().kill_all_processes(check_alive=False, allow_graceful=False)
            kill(below)
        elif ray.is_initialized():
            ray_serve.shutdown()
        ray.shutdown()
        if self._logs:
            self._logs.close()


def _replicas(task: TaskSettings) -> int:
    """Return the largest number of replicas of a task; one of each variant beside it counts, whether it has any."""
    return task.scaling.max_replicas + task.canary.scaling.max_replicas + task.shadow.scaling.max_replicas


def _check(settings: Settings) -> None:
    """Check the models, devices and files of settings; raises `MienError`."""
    registry = make_registry(settings)
    served_models(settings, registry)
    check_rollouts(settings, registry)
    check_devices(settings)
    make_detector(settings)
    server_credentials(settings)
    Authentication(settings.auth)


def _ray_node() -> Any:
    """Return Ray's internal object of this node's processes; it has no public interface."""
    from ray._private import worker

    return worker._global_node
