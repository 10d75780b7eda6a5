"""Tests that every rule of the manifests can fail: a valid overlay, changed in one way, violates only that rule."""

import copy
from collections.abc import Callable

import pytest
import yaml

from tests.deploy import operator_rules, pod_rules, serve_rules
from tests.deploy.manifests import Manifest, cluster, groups, named, ray_pods, ray_service, serve_config

Documents = list[Manifest]
Break = Callable[[Documents], None]


def container(documents: Documents, group: str) -> Manifest:
    (found,) = ray_pods(documents)[group]["containers"]
    return found


def in_serve(change: Callable[[Manifest], None]) -> Break:
    """Break the application of the Serve config inside the RayService."""

    def broken(documents: Documents) -> None:
        config = serve_config(documents)
        change(config["applications"][0])
        ray_service(documents)["spec"]["serveConfigV2"] = yaml.safe_dump(config)

    return broken


def in_deployment(index: int, change: Callable[[Manifest], None]) -> Break:
    return in_serve(lambda application: change(application["deployments"][index]))


def proxy_on(documents: Documents) -> None:
    config = {**serve_config(documents), "proxy_location": "EveryNode"}
    ray_service(documents)["spec"]["serveConfigV2"] = yaml.safe_dump(config)


def resources_twice(documents: Documents) -> None:
    groups(documents)["cpu"]["rayStartParams"]["num-cpus"] = "4"
    groups(documents)["cpu"]["resources"] = {"CPU": "4"}


def rename(documents: Documents) -> None:
    ray_service(documents)["metadata"]["name"] = "m" * 48


def expose_everything(documents: Documents) -> None:
    named(documents, "NetworkPolicy", "mien-callers")["spec"]["ingress"][0]["ports"].append({"port": 8265})


def no_policy_for_all(documents: Documents) -> None:
    for document in documents:
        if document["kind"] == "NetworkPolicy" and document["metadata"]["name"] != "mien-redis":
            document["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] = "frontend"


def too_many_alone(orchestrator: Manifest) -> None:
    orchestrator["ray_actor_options"]["num_cpus"] = 1
    orchestrator["autoscaling_config"]["max_replicas"] = 7


def no_account(documents: Documents) -> None:
    ray_pods(documents)["cpu"]["serviceAccountName"] = "x"


def other_label(documents: Documents) -> None:
    groups(documents)["cpu"]["labels"]["mien/group"] = "gpu"


def operators_label(documents: Documents) -> None:
    groups(documents)["cpu"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] = "mien"


def restart(documents: Documents) -> None:
    ray_pods(documents)["cpu"]["restartPolicy"] = "Always"


def first_autoscaler(documents: Documents) -> None:
    cluster(documents)["autoscalerOptions"]["version"] = "v1"


def redis_by_hand(documents: Documents) -> None:
    container(documents, "head")["env"].append({"name": "RAY_REDIS_ADDRESS", "value": "mien-redis:6379"})


BROKEN: dict[str, tuple[Break, str]] = {
    "long name": (rename, "RayService name 'mmm"),
    "bounds": (lambda d: groups(d)["cpu"].update(minReplicas=7), "cpu: minReplicas is above maxReplicas"),
    "resources twice": (resources_twice, "resources both in rayStartParams and in `resources`"),
    "labels": (lambda d: groups(d)["cpu"]["rayStartParams"].update(labels="a=b"), "labels belong into the group's"),
    "autoscaler v1": (first_autoscaler, "cpu: idleTimeoutSeconds needs autoscaler v2"),
    "restart": (restart, "cpu: autoscaler v2 needs restartPolicy Never"),
    "redis by hand": (redis_by_hand, "head: RAY_REDIS_ADDRESS is set beside"),
    "rocksdb": (
        lambda d: cluster(d)["gcsFaultToleranceOptions"].update(backend="rocksdb"),
        "backend rocksdb has no Redis address",
    ),
    "head service": (
        lambda d: cluster(d)["headGroupSpec"].update(headService={"metadata": {"name": "x"}}),
        "the head's Service is named by the operator",
    ),
    "head's port": (
        lambda d: container(d, "head")["ports"].pop(),
        "the head has no port named serve",
    ),
    "operator's label": (operators_label, "its own app.kubernetes.io/name"),
    "upgrade": (
        lambda d: ray_service(d)["spec"]["upgradeStrategy"].update(type="None"),
        "upgradeStrategy must be NewCluster",
    ),
    "root": (lambda d: ray_pods(d)["cpu"]["securityContext"].update(runAsUser=0), "cpu: does not run as user 10001"),
    "seccomp": (lambda d: ray_pods(d)["cpu"]["securityContext"].pop("seccompProfile"), "cpu: no seccomp profile"),
    "capabilities": (
        lambda d: container(d, "cpu")["securityContext"].pop("capabilities"),
        "cpu: keeps privileges",
    ),
    "writable": (
        lambda d: container(d, "cpu")["securityContext"].update(readOnlyRootFilesystem=False),
        "cpu: its root can be written to",
    ),
    "no scratch": (lambda d: container(d, "cpu").update(volumeMounts=[]), "cpu: needs an emptyDir at /tmp"),
    "autoscaler": (
        lambda d: cluster(d)["autoscalerOptions"].pop("securityContext"),
        "the autoscaler beside the head has other privileges",
    ),
    "autoscaler's scratch": (
        lambda d: cluster(d)["autoscalerOptions"].pop("volumeMounts"),
        "the autoscaler beside the head has nowhere to write",
    ),
    "token": (
        lambda d: ray_pods(d)["cpu"].update(automountServiceAccountToken=True),
        "cpu: holds a token of the Kubernetes API",
    ),
    "account": (no_account, "cpu: its service account is not deployed"),
    "service links": (
        lambda d: ray_pods(d)["cpu"].pop("enableServiceLinks"),
        "cpu: Services set variables beside those of the settings",
    ),
    "latest": (lambda d: container(d, "cpu").update(image="mien:latest"), "cpu: its image has no version tag"),
    "no limits": (
        lambda d: container(d, "cpu")["resources"]["limits"].pop("memory"),
        "cpu: no requests and limits of CPU and memory",
    ),
    "no probe": (lambda d: container(d, "cpu").pop("readinessProbe"), "cpu: without probes of its own"),
    "bash probe": (
        lambda d: container(d, "cpu").update(readinessProbe={"exec": {"command": ["bash"]}}),
        "cpu: a probe runs a command",
    ),
    "grpc liveness": (
        lambda d: container(d, "frontend").update(livenessProbe={"grpc": {"port": 50051}}),
        "frontend: is killed if no orchestrator runs on it",
    ),
    "readiness": (
        lambda d: container(d, "frontend")["readinessProbe"]["grpc"].update(service="mien.v1.Face"),
        "readiness must ask mien.v1.FaceAnalysisService on port 50051",
    ),
    "pod's port": (
        lambda d: container(d, "frontend")["ports"][0].update(containerPort=50052),
        "its port `grpc` is not 50051",
    ),
    "metrics' port": (
        in_serve(lambda a: a["args"]["telemetry"].pop("metrics_port")),
        "its port `mien-metrics` is not None",
    ),
    "not scraped": (
        lambda d: named(d, "PodMonitor")["spec"]["podMetricsEndpoints"].pop(),
        "frontend: port mien-metrics is not scraped",
    ),
    "Prometheus shut out": (
        lambda d: named(d, "NetworkPolicy", "mien-prometheus")["spec"]["ingress"][0]["ports"].pop(),
        "frontend: no NetworkPolicy lets Prometheus reach its port mien-metrics",
    ),
    "one address": (
        lambda d: named(d, "Service", "mien-grpc")["spec"].pop("clusterIP"),
        "mien-grpc: must be headless",
    ),
    "service's port": (
        lambda d: named(d, "Service", "mien-grpc")["spec"]["ports"][0].update(port=80),
        "mien-grpc: its port is not 50051",
    ),
    "service's pods": (
        lambda d: named(d, "Service", "mien-edge")["spec"]["selector"].pop("app.kubernetes.io/component"),
        "mien-edge: selects pods without an orchestrator",
    ),
    "killed early": (
        lambda d: ray_pods(d)["frontend"].update(terminationGracePeriodSeconds=35),
        "frontend: is killed before preStop and the drain of 10 s are over",
    ),
    "budget": (
        lambda d: named(d, "PodDisruptionBudget", "mien-frontend")["spec"].update(minAvailable="50%"),
        "minAvailable must be a number of pods",
    ),
    "open ports": (expose_everything, "strangers reach more than the gRPC port"),
    "no policy": (no_policy_for_all, "none covers all of Mien's pods"),
    "serve schema": (
        in_deployment(1, lambda d: d["autoscaling_config"].update(target_ongoing_requests=0.0)),
        "Ray Serve rejects the config",
    ),
    "setting": (in_serve(lambda a: a["args"].update(prot=1)), "prot: unknown setting"),
    "task left out": (in_serve(lambda a: a["deployments"].pop()), "the Serve config has no deployment emotion"),
    "proxy": (proxy_on, "Serve's own proxy is on"),
    "import path": (
        in_serve(lambda a: a.update(import_path="mien:app")),
        "the application must be mien_orchestrator.cluster.app",
    ),
    "loopback": (
        in_serve(lambda a: a["args"]["server"].update(host="127.0.0.1")),
        "an address that no other pod reaches",
    ),
    "policy": (
        in_deployment(0, lambda d: d["autoscaling_config"].pop("policy")),
        "orchestrators must scale by mien_orchestrator.cluster.autoscaling:by_in_flight_calls",
    ),
    "shared pod": (in_deployment(0, lambda d: d.pop("max_replicas_per_node")), "several orchestrators may share a pod"),
    "threads": (
        in_serve(lambda a: a["args"]["limits"].pop("cpu_threads")),
        "cpu_threads is None, but an orchestrator's",
    ),
    "head": (
        lambda d: cluster(d)["headGroupSpec"]["rayStartParams"].pop("num-cpus"),
        "replicas may be placed on the head",
    ),
    "group's label": (other_label, "cpu: its label mien/group differs"),
    "nowhere": (
        in_deployment(1, lambda d: d["ray_actor_options"]["label_selector"].update({"mien/group": "tpu"})),
        "age: no group of pods is labelled 'tpu'",
    ),
    "no graphics card": (
        in_deployment(1, lambda d: d["user_config"].update(runtime="torch", device="cuda")),
        "age: num_gpus, device cuda, the group's graphics card and its image do not agree",
    ),
    "onnx on cuda": (
        in_deployment(1, lambda d: d["user_config"].update(device="cuda")),
        "age: only the torch runtime uses a graphics card",
    ),
    "capacity": (
        in_deployment(1, lambda d: d["autoscaling_config"].update(max_replicas=9)),
        "cpu: max_replicas need 25 cpu, the pods have 24",
    ),
    "capacity at rest": (
        in_deployment(1, lambda d: d["autoscaling_config"].update(min_replicas=5)),
        "cpu: min_replicas need 9 cpu, the pods have 8",
    ),
    "alone": (
        in_deployment(0, too_many_alone),
        "frontend: fewer pods than replicas that want one each",
    ),
}

ALSO = {
    "onnx on cuda": {"no graphics card"},  # prod-cpu has none
    "import path": {"setting"},  # such a config has no settings
    "serve schema": {"setting"},
}
"""Breaks that also violate another rule, by name."""


def reported(documents: Documents) -> list[str]:
    rules = (*operator_rules.RULES, *pod_rules.RULES, *serve_rules.RULES)
    return [problem for rule in rules for problem in rule(documents)]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_manifest_violates_only_its_rule(rendered: dict[str, Documents], name: str) -> None:
    change, reason = BROKEN[name]
    documents = copy.deepcopy(rendered["prod-cpu"])
    change(documents)
    found = reported(documents)
    assert sum(reason in problem for problem in found) == 1, found
    assert len(found) == 1 + len(ALSO.get(name, ())), found
