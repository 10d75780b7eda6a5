"""Rules of the KubeRay operator that its resource definitions do not contain."""

import re
from collections.abc import Callable, Iterator

from tests.deploy.manifests import Manifest, cluster, containers, groups, ray_pods, ray_service

Rule = Callable[[list[Manifest]], Iterator[str]]

_LONGEST_NAME = 47
_HEAD_PORTS = {"dashboard", "serve"}
_OPERATORS_LABELS = {"app.kubernetes.io/name", "app.kubernetes.io/created-by"}
_COUNTED = {"num-cpus": "cpu", "num-gpus": "gpu", "memory": "memory", "resources": "resources"}


def _name(documents: list[Manifest]) -> Iterator[str]:
    name = ray_service(documents)["metadata"]["name"]
    if len(name) > _LONGEST_NAME or not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
        yield f"RayService name {name!r}: at most {_LONGEST_NAME} characters of a DNS-1035 label"


def _bounds(documents: list[Manifest]) -> Iterator[str]:
    for name, group in groups(documents).items():
        if group["minReplicas"] > group["maxReplicas"]:
            yield f"group {name}: minReplicas is above maxReplicas"


def _resources_once(documents: list[Manifest]) -> Iterator[str]:
    for group in (cluster(documents)["headGroupSpec"], *groups(documents).values()):
        if group.get("resources") and group.get("rayStartParams", {}).keys() & _COUNTED.keys():
            yield "a group has resources both in rayStartParams and in `resources`"


def _labels(documents: list[Manifest]) -> Iterator[str]:
    for group in (cluster(documents)["headGroupSpec"], *groups(documents).values()):
        if "labels" in group.get("rayStartParams", {}):
            yield "labels belong into the group's `labels`, not into rayStartParams"


def _autoscaler(documents: list[Manifest]) -> Iterator[str]:
    second = cluster(documents).get("autoscalerOptions", {}).get("version") == "v2"
    for name, group in groups(documents).items():
        if "idleTimeoutSeconds" in group and not second:
            yield f"group {name}: idleTimeoutSeconds needs autoscaler v2"
    for name, pod in ray_pods(documents).items():
        if second and pod.get("restartPolicy") != "Never":
            yield f"group {name}: autoscaler v2 needs restartPolicy Never"


def _fault_tolerance(documents: list[Manifest]) -> Iterator[str]:
    options = cluster(documents).get("gcsFaultToleranceOptions")
    if not options:
        return
    for name, container in containers(documents):
        for variable in container.get("env", []):
            if variable["name"] in {"RAY_REDIS_ADDRESS", "REDIS_PASSWORD"}:
                yield f"group {name}: {variable['name']} is set beside gcsFaultToleranceOptions"
    if options.get("backend") == "rocksdb" and options.get("redisAddress"):
        yield "backend rocksdb has no Redis address"


def _head_service(documents: list[Manifest]) -> Iterator[str]:
    if "name" in cluster(documents)["headGroupSpec"].get("headService", {}).get("metadata", {}):
        yield "the head's Service is named by the operator"
    (container,) = ray_pods(documents)["head"]["containers"]
    for missing in _HEAD_PORTS - {port["name"] for port in container["ports"]}:
        yield f"the head has no port named {missing}, for which the operator creates a Service"


def _own_labels(documents: list[Manifest]) -> Iterator[str]:
    for group in (cluster(documents)["headGroupSpec"], *groups(documents).values()):
        for label in _OPERATORS_LABELS & group["template"]["metadata"]["labels"].keys():
            yield f"a pod has its own {label}, by which the operator's Services select"


def _upgrade(documents: list[Manifest]) -> Iterator[str]:
    if ray_service(documents)["spec"].get("upgradeStrategy", {}).get("type") != "NewCluster":
        yield "upgradeStrategy must be NewCluster: the incremental one routes no gRPC"


RULES: tuple[Rule, ...] = (
    _name,
    _bounds,
    _resources_once,
    _labels,
    _autoscaler,
    _fault_tolerance,
    _head_service,
    _own_labels,
    _upgrade,
)
