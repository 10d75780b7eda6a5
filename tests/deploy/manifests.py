"""The manifests of `kubectl apply -k`, rendered by kubectl and parsed."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
K8S = ROOT / "deploy" / "k8s"
OVERLAYS = sorted(folder.name for folder in (K8S / "overlays").iterdir())

Manifest = dict[str, Any]


def render(overlay: str) -> list[Manifest]:
    """Return an overlay's documents."""
    result = subprocess.run(
        ["kubectl", "kustomize", K8S / "overlays" / overlay], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    return list(yaml.safe_load_all(result.stdout))


def named(documents: list[Manifest], kind: str, name: str = "mien") -> Manifest:
    """Return one document."""
    (found,) = (doc for doc in documents if doc["kind"] == kind and doc["metadata"]["name"] == name)
    return found


def ray_service(documents: list[Manifest]) -> Manifest:
    """Return the RayService."""
    (found,) = (doc for doc in documents if doc["kind"] == "RayService")
    return found


def cluster(documents: list[Manifest]) -> Manifest:
    """Return the cluster of the RayService."""
    config: Manifest = ray_service(documents)["spec"]["rayClusterConfig"]
    return config


def groups(documents: list[Manifest]) -> dict[str, Manifest]:
    """Return the groups of workers by name."""
    return {group["groupName"]: group for group in cluster(documents)["workerGroupSpecs"]}


def ray_pods(documents: list[Manifest]) -> dict[str, Manifest]:
    """Return the pods' specifications by group name; the head's is `head`."""
    pods = {name: group["template"]["spec"] for name, group in groups(documents).items()}
    return {"head": cluster(documents)["headGroupSpec"]["template"]["spec"], **pods}


def all_pods(documents: list[Manifest]) -> dict[str, Manifest]:
    """Return the specifications of all pods, including Redis."""
    stateful = {doc["metadata"]["name"]: doc for doc in documents if doc["kind"] == "StatefulSet"}
    return {**ray_pods(documents), **{name: doc["spec"]["template"]["spec"] for name, doc in stateful.items()}}


def containers(documents: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Iterate over all containers with their group's name."""
    for name, pod in all_pods(documents).items():
        for container in pod["containers"]:
            yield name, container


def serve_config(documents: list[Manifest]) -> Manifest:
    """Return the Serve config inside the RayService."""
    config: Manifest = yaml.safe_load(ray_service(documents)["spec"]["serveConfigV2"])
    return config


def deployments(documents: list[Manifest]) -> dict[str, Manifest]:
    """Return each deployment's options in the Serve config."""
    return {deployment["name"]: deployment for deployment in serve_config(documents)["applications"][0]["deployments"]}
