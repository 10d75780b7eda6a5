"""The cluster shape on this machine: start Ray, deploy the application, wait until it answers, end it all again."""

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mien.errors import ServerUnavailableError
from mien_orchestrator.settings import Settings

SWITCHES = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",  # gRPC between replicas, user code in the router's loop
    "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0",  # which the switch above turns on, and our own server replaces
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(32 * 2**20),
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
}
"""Environment that every process of the cluster must have before it imports Ray."""

_HEALTH_SECONDS = 10.0


def serve(settings: Settings, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; calls `ready` with the address once requests are answered.

    Raises `ServerUnavailableError` where the cluster does not come up.
    """
    with Cluster(settings) as cluster:
        ready(cluster.address)
        while True:
            signal.pause()


def _handle_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


class Cluster:
    """A Ray cluster of this process, with the application deployed; a context manager that leaves nothing behind."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.address = f"{settings.host}:{settings.port}"

    def __enter__(self) -> "Cluster":
        self._check_port()
        os.environ.update(SWITCHES)
        try:
            self._start_ray()
            self._deploy()
        except BaseException:
            self._shutdown()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._shutdown()

    def _start_ray(self) -> None:
        import ray  # after the switches

        _handle_signals(_end)
        ray.init(
            address="local",
            num_cpus=self._logical_cpus(),
            include_dashboard=False,
            object_store_memory=100 * 2**20,
            _node_ip_address="127.0.0.1",
            log_to_driver=False,
            logging_level="error",
        )
        _handle_signals(_end)  # again: Ray puts its own in their place, which leave its processes behind

    def _check_port(self) -> None:
        """Fail early where the port is taken: the orchestrators share it, and would share it with a stranger too."""
        host, port = self._settings.host, self._settings.port
        try:
            with socket.create_server((host, port)):
                pass
        except OSError as error:
            raise ServerUnavailableError(f"cannot listen on {host}:{port}: {error.strerror}") from error

    def _logical_cpus(self) -> int:
        """Return the CPUs that Ray is told of: enough for all replicas, since on one machine they are only counted."""
        orchestrator = self._settings.orchestrator
        reserved = orchestrator.num_cpus * orchestrator.scaling.max_replicas
        reserved += sum(task.num_cpus * task.scaling.max_replicas for task in self._settings.served.values())
        return max(os.cpu_count() or 1, int(reserved) + 1)

    def _deploy(self) -> None:
        from ray import serve as ray_serve

        from mien_workers.app import build

        app = build(self._settings.model_dump(mode="json"))
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        ray_serve.start(proxy_location="Disabled", logging_config={"log_level": "WARNING"})
        try:
            ray_serve.run(app, name="mien", route_prefix=None)
        except RuntimeError as error:
            raise ServerUnavailableError(f"the cluster did not start: {error}") from error
        with grpc.insecure_channel(self.address) as channel:
            request = health_pb2.HealthCheckRequest()
            reply = health_pb2_grpc.HealthStub(channel).Check(request, timeout=_HEALTH_SECONDS, wait_for_ready=True)
        if reply.status != health_pb2.HealthCheckResponse.SERVING:
            raise ServerUnavailableError(
                "the cluster started, but its server does not serve; the replica's log says why"
            )

    def _shutdown(self) -> None:
        import ray
        from ray import serve as ray_serve

        _handle_signals(signal.SIG_IGN)  # a second Ctrl-C does not leave half a cluster behind
        if ray.is_initialized():
            ray_serve.shutdown()
        ray.shutdown()
