"""Tests that the pods of the dev overlay form a cluster: probes, token, placement, memory, one call."""

import json
from collections.abc import Callable

import pytest

import mien
from mien.transport.methods import SERVICE
from mien_orchestrator.edge import health_probe
from tests.deploy.manifests import render, serve_config
from tests.image.pods import Pods, running
from tests.photographs import EXAMPLE
from tests.waits import wait_until

pytestmark = pytest.mark.timeout(2400)

_APPLICATIONS = "/api/serve/applications/"
_PATIENCE = 400.0


def wait(what: str, condition: Callable[[], object]) -> float:
    """Wait for a condition of which Ray sends no notification; return the elapsed seconds."""
    return wait_until(condition, _PATIENCE, what)


def status(pods: Pods) -> str:
    _, message = pods.ask("head", 8265, _APPLICATIONS, token=pods.token)
    return str(json.loads(message)["applications"].get("mien", {}).get("status")) if message else "unknown"


def test_the_pods_of_an_overlay_serve_a_call(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    documents = render("dev")
    with running(image, documents) as pods:
        wait("the head is ready", lambda: pods.ask("head", 8265, "/api/gcs_healthz")[0] == 200)
        for group in pods.by_group:  # the kubelet's probes have no token
            wait(f"{group} lives", lambda group=group: pods.ask(group, 52365, "/api/local_raylet_healthz")[0] == 200)
        assert pods.ask("head", 8265, _APPLICATIONS)[0] == 401
        assert pods.ask("head", 8265, _APPLICATIONS, token="another")[0] == 403
        assert pods.ask("head", 8265, _APPLICATIONS, token=pods.token, put=serve_config(documents))[0] == 200
        seconds = wait("the application runs", lambda: status(pods) == "RUNNING")
        address = f"{pods.by_group['frontend'].address}:50051"
        health_probe.check(address, service=SERVICE, timeout=10)  # the readiness probe
        with mien.Client(address, timeout=60) as client:
            analysis = client.analyze(EXAMPLE)
        assert all(task.ok for task in analysis.tasks)
        assert "mien_task_latency_seconds" in pods.ask("frontend", 9464, "/metrics")[1]
        for group, name in (("head", "ray_serve_deployment_replica_healthy"), ("cpu", "ray_node_mem_used")):
            wait(f"{group} exports {name}", lambda group=group, name=name: name in pods.ask(group, 8080, "/metrics")[1])
        assert not any(pod.killed_for_memory() for pod in pods.by_group.values())
        with capsys.disabled():
            print(f"\nRUNNING {seconds:.1f} s after the Serve config was put")
            for group, pod in pods.by_group.items():
                print(f"{group:10} {pod.used_mib():6.0f} MiB of {pod.memory_mib}")
