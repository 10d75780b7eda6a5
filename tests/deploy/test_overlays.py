"""Tests that every overlay is valid for the API server, the operator, Ray Serve and our own rules."""

import pytest

from tests.deploy import operator_rules, pod_rules, serve_rules
from tests.deploy.manifests import Manifest, cluster, containers, deployments, groups
from tests.deploy.operator_rules import Rule
from tests.deploy.schemas import CustomKinds, problems


@pytest.mark.shared
def test_every_document_matches_its_schema(documents: list[Manifest], custom_kinds: CustomKinds) -> None:
    assert list(problems(documents, custom_kinds)) == []


@pytest.mark.parametrize(
    "rule",
    [*operator_rules.RULES, *pod_rules.RULES, *serve_rules.RULES],
    ids=lambda rule: f"{rule.__module__.rpartition('.')[2]}:{rule.__name__.strip('_')}",
)
def test_every_rule_is_satisfied(documents: list[Manifest], rule: Rule) -> None:
    assert list(rule(documents)) == []


def test_dev_fits_a_node_of_four_cores_beside_its_own_pods(rendered: dict[str, list[Manifest]]) -> None:
    documents = rendered["dev"]
    pods = {"head": 1, **{name: group["maxReplicas"] for name, group in groups(documents).items()}}
    requested = sum(
        pods[name] * serve_rules.cpus(container["resources"]["requests"]["cpu"])
        for name, container in containers(documents)
    )
    requested += serve_rules.cpus(cluster(documents)["autoscalerOptions"]["resources"]["requests"]["cpu"])
    assert requested <= 3


@pytest.mark.parametrize("overlay", ["prod-cpu", "prod-gpu"])
def test_production_survives_the_loss_of_a_node(rendered: dict[str, list[Manifest]], overlay: str) -> None:
    documents = rendered[overlay]
    frontend = groups(documents)["frontend"]
    (spread,) = frontend["template"]["spec"]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert spread["whenUnsatisfiable"] == "DoNotSchedule"
    assert deployments(documents)["orchestrator"]["autoscaling_config"]["min_replicas"] >= 2
    assert frontend["minReplicas"] >= 2
    assert "gcsFaultToleranceOptions" in cluster(documents)


def test_every_task_of_the_gpu_overlay_runs_on_gpus(rendered: dict[str, list[Manifest]]) -> None:
    placed = {
        name: (deployment["ray_actor_options"].get("num_gpus", 0), deployment["user_config"]["device"])
        for name, deployment in deployments(rendered["prod-gpu"]).items()
        if name != "orchestrator"
    }
    assert placed == dict.fromkeys(["age", "gender", "emotion"], (0.25, "cuda"))
    assert groups(rendered["prod-gpu"]).keys() == {"frontend", "gpu"}
