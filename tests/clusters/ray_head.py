"""Ray inside a sandbox: a head whose autoscaler starts fake nodes, and Serve configs submitted as by the operator."""

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray
import yaml
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID

ROOT = Path(__file__).parents[2]
ADDRESS = "127.0.0.1:50051"
METRICS_PORT = 9464

_DASHBOARD = "http://127.0.0.1:8265/api/serve/applications/"
_PATIENCE = 400.0
"""Timeout of a condition, in seconds; on a busy machine with two cores a replica may take a minute to start."""
_STARTS = 5
"""Attempts to start a node before the scenario fails."""

_OBJECT_STORE = 100 * 2**20
_OPTIONS = [f"--object-store-memory={_OBJECT_STORE}", "--min-worker-port=0", "--max-worker-port=0"]  # one host for all

_EMPTY = (
    "cluster_synced_files",
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)


def start_autoscaled(groups: Mapping[str, tuple[int, int]], folder: Path) -> None:
    """Start a head and its autoscaler, with groups of one-CPU nodes: name to minimum and maximum."""
    types: dict[str, Any] = {
        name: {
            "resources": {"CPU": 1, "object_store_memory": _OBJECT_STORE},
            "labels": {"mien/group": name},
            "node_config": {},
            "min_workers": least,
            "max_workers": most,
        }
        for name, (least, most) in groups.items()
    }
    types["ray.head.default"] = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
    provider = {
        "type": "external",
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "launch_multiple": True,
        "head_node_id": FAKE_HEAD_NODE_ID,
    }
    config = {
        "cluster_name": "mien",
        "max_workers": sum(most for _, most in groups.values()),
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 0.1,
        "provider": provider,
        "available_node_types": types,
        "head_node_type": "ray.head.default",
        **{key: [] for key in _EMPTY},  # wanted, though a fake node uses none
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        "auth": {},
    }
    path = folder / "autoscaler.yaml"
    path.write_text(yaml.safe_dump(config))
    _start_head(
        [f"--autoscaling-config={path}"],
        AUTOSCALER_UPDATE_INTERVAL_S="1",
        RAY_FAKE_CLUSTER="1",
        RAY_enable_autoscaler_v2="1",
        RAY_CLOUD_INSTANCE_ID=FAKE_HEAD_NODE_ID,
        RAY_OVERRIDE_NODE_ID_FOR_TESTING=FAKE_HEAD_NODE_ID,
    )


def start_plain() -> None:
    """Start a head without an autoscaler."""
    _start_head([])


def _start_head(options: list[str], **environment: str) -> None:
    command = ["ray", "start", "--head", "--port=6379", "--num-cpus=0", *_OPTIONS]
    subprocess.run([*command, *options], env={**os.environ, **environment}, check=True, stdout=subprocess.DEVNULL)
    ray.init(address="127.0.0.1:6379", log_to_driver=False, logging_level="error")


def start_node(group: str, *, cpus: int) -> None:
    """Start a node of a group beside the head; retried, since Ray gives up after 30 s on a busy machine."""
    command = ["ray", "start", "--address=127.0.0.1:6379", f"--num-cpus={cpus}", f"--labels=mien/group={group}"]
    command += [*_OPTIONS, "--dashboard-agent-listen-port=0"]
    for _ in range(_STARTS):
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0:
            return
    raise TimeoutError(f"a node of {group} did not start in {_STARTS} attempts")


def nodes(group: str) -> list[dict[str, Any]]:
    """Return the running nodes of a group."""
    return [node for node in ray.nodes() if node["Alive"] and node["Labels"].get("mien/group") == group]


def base_config() -> dict[str, Any]:
    """Return the Serve config that Kubernetes deploys."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "k8s" / "base" / "serve.yaml").read_text())
    config["applications"][0]["args"]["orchestrator"] = {"scaling": {"max_replicas": 4}}  # ports of metrics on one host
    return config


def deployment(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a deployment's options in a Serve config."""
    found: dict[str, Any] = next(d for d in config["applications"][0]["deployments"] if d["name"] == name)
    return found


def deploy(config: dict[str, Any]) -> None:
    """Submit a Serve config to the head, as the operator does."""
    request = urllib.request.Request(
        _DASHBOARD, json.dumps(config).encode(), {"Content-Type": "application/json"}, method="PUT"
    )
    urllib.request.urlopen(request, timeout=60).close()


def application() -> dict[str, Any]:
    """Return Serve's status of the application."""
    with urllib.request.urlopen(_DASHBOARD, timeout=60) as reply:
        message: dict[str, Any] = json.load(reply)["applications"].get("mien", {})
    return message


def replicas() -> dict[str, list[dict[str, Any]]]:
    """Return each deployment's running replicas."""
    return {
        name: [replica for replica in deployment["replicas"] if replica["state"] == "RUNNING"]
        for name, deployment in application().get("deployments", {}).items()
    }


def wait(what: str, condition: Callable[[], object]) -> float:
    """Wait until a condition holds; return the elapsed seconds."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > _PATIENCE:
            raise TimeoutError(f"{what}: not within {_PATIENCE:g} s; {json.dumps(application(), indent=1)[:4000]}")
        time.sleep(0.25)  # Ray and Serve have no notification for it
    return time.monotonic() - started


def wait_until_running() -> float:
    """Wait until the application runs."""
    return wait("the application runs", lambda: application().get("status") == "RUNNING")
