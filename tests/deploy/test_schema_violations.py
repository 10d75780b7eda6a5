"""Tests that a document that violates its Kubernetes or custom resource schema is reported."""

import copy
from collections.abc import Callable

import pytest

from tests.deploy.manifests import Manifest, cluster, groups, named, ray_service
from tests.deploy.schemas import CustomKinds, problems

Documents = list[Manifest]

CHANGES: dict[str, tuple[Callable[[Documents], object], str]] = {
    "core field": (lambda d: named(d, "Service", "mien-grpc")["spec"].update(prots=[]), "'prots' was unexpected"),
    "core type": (
        lambda d: named(d, "PodDisruptionBudget", "mien-frontend").update(spec=[]),
        "PodDisruptionBudget/mien-frontend: [] is not",
    ),
    "unknown kind": (lambda d: named(d, "Gateway").update(kind="Gatewy"), "Gatewy/mien: unknown kind"),
    "custom field": (lambda d: cluster(d).update(workers=[]), "unknown field .spec.rayClusterConfig.workers"),
    "custom type": (lambda d: groups(d)["cpu"].update(maxReplicas="6"), "'6' is not of type 'integer'"),
    "custom required": (lambda d: groups(d)["cpu"].pop("groupName"), "'groupName' is a required property"),
    "custom enum": (lambda d: cluster(d)["autoscalerOptions"].update(version="v3"), "'v3' is not one of ['v1', 'v2']"),
    "rule": (
        lambda d: ray_service(d)["spec"].update(managedBy="me"),
        "RayService/mien: .spec.managedBy: the managedBy field value must be either",
    ),
    "rule on defaults": (
        lambda d: named(d, "Gateway")["spec"]["listeners"][0].update(protocol="HTTP"),
        "tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']",
    ),
    "rule of routes": (
        lambda d: named(d, "GRPCRoute")["spec"]["parentRefs"].append({"name": "mien"}),
        "sectionName",
    ),
}


@pytest.mark.shared
@pytest.mark.parametrize("name", CHANGES)
def test_a_document_that_violates_its_schema_fails(
    rendered: dict[str, Documents], custom_kinds: CustomKinds, name: str
) -> None:
    change, reason = CHANGES[name]
    documents = copy.deepcopy(rendered["prod-cpu"])
    change(documents)
    found = list(problems(documents, custom_kinds))
    assert len(found) == 1, found
    assert reason in found[0]
