"""Rules for Mien's pods: the restricted Pod Security profile, probes, graceful shutdown, reachable ports."""

from collections.abc import Iterator

from mien.transport.methods import SERVICE
from mien_orchestrator.settings import ServerSettings
from tests.deploy.manifests import Manifest, all_pods, cluster, containers, named, ray_pods, serve_config
from tests.deploy.operator_rules import Rule

_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def _restricted(documents: list[Manifest]) -> Iterator[str]:
    for name, pod in all_pods(documents).items():
        context = pod.get("securityContext", {})
        if not context.get("runAsNonRoot") or context.get("runAsUser") != 10001:
            yield f"pod {name}: does not run as user 10001"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"pod {name}: no seccomp profile"
    for name, container in containers(documents):
        context = container.get("securityContext", {})
        if context.get("capabilities") != {"drop": ["ALL"]} or context.get("allowPrivilegeEscalation") is not False:
            yield f"pod {name}: keeps privileges"
        if not context.get("readOnlyRootFilesystem"):
            yield f"pod {name}: its root can be written to"


def _scratch(documents: list[Manifest]) -> Iterator[str]:
    for name, pod in ray_pods(documents).items():
        (container,) = pod["containers"]
        empty = {volume["name"] for volume in pod.get("volumes", []) if "emptyDir" in volume}
        mounted = {mount["mountPath"] for mount in container.get("volumeMounts", []) if mount["name"] in empty}
        if "/tmp" not in mounted or {"name": "HOME", "value": "/tmp"} not in container.get("env", []):
            yield f"pod {name}: needs an emptyDir at /tmp and HOME there, since its root is read-only"


def _autoscaler(documents: list[Manifest]) -> Iterator[str]:
    options = cluster(documents)["autoscalerOptions"]
    (head,) = ray_pods(documents)["head"]["containers"]
    if options.get("securityContext") != head["securityContext"]:
        yield "the autoscaler beside the head has other privileges"
    if options.get("volumeMounts") != head["volumeMounts"]:
        yield "the autoscaler beside the head has nowhere to write"


def _tokens(documents: list[Manifest]) -> Iterator[str]:
    accounts = {doc["metadata"]["name"] for doc in documents if doc["kind"] == "ServiceAccount"}
    for name, pod in all_pods(documents).items():
        if pod.get("serviceAccountName") not in accounts:
            yield f"pod {name}: its service account is not deployed"
        if name != "head" and pod.get("automountServiceAccountToken") is not False:
            yield f"pod {name}: holds a token of the Kubernetes API"


def _settings_alone(documents: list[Manifest]) -> Iterator[str]:
    for name, pod in ray_pods(documents).items():
        if pod.get("enableServiceLinks") is not False:
            yield f"pod {name}: Services set variables beside those of the settings (MIEN_PORT)"


def _images(documents: list[Manifest]) -> Iterator[str]:
    for name, container in containers(documents):
        tag = container["image"].rpartition("/")[2].partition(":")[2]
        if not tag or tag == "latest":
            yield f"pod {name}: its image has no version tag"


def _resources(documents: list[Manifest]) -> Iterator[str]:
    for name, container in containers(documents):
        resources = container.get("resources", {})
        if not {"cpu", "memory"} <= resources.get("requests", {}).keys() & resources.get("limits", {}).keys():
            yield f"pod {name}: no requests and limits of CPU and memory"


def _probes(documents: list[Manifest]) -> Iterator[str]:
    for name, container in containers(documents):
        probes = {kind: container.get(kind) for kind in _PROBES}
        if not probes["readinessProbe"] or not probes["livenessProbe"]:
            yield f"pod {name}: without probes of its own it gets the operator's, which ask Serve's proxy"
        if any("exec" in probe for probe in probes.values() if probe):
            yield f"pod {name}: a probe runs a command"
        if "grpc" in (probes["livenessProbe"] or {}):
            yield f"pod {name}: is killed if no orchestrator runs on it"


def _frontend(documents: list[Manifest]) -> Iterator[str]:
    port = serve_config(documents)["applications"][0]["args"]["server"]["port"]
    pods = ray_pods(documents)
    (container,) = pods["frontend"]["containers"]
    if (container.get("readinessProbe") or {}).get("grpc") != {"port": port, "service": SERVICE}:
        yield f"pod frontend: readiness must ask {SERVICE} on port {port}"
    if {"name": "grpc", "containerPort": port} not in container["ports"]:
        yield f"pod frontend: its port `grpc` is not {port}, which the Serve config has"
    metrics = serve_config(documents)["applications"][0]["args"].get("telemetry", {}).get("metrics_port")
    if {"name": "mien-metrics", "containerPort": metrics} not in container["ports"]:
        yield f"pod frontend: its port `mien-metrics` is not {metrics}, which the Serve config has"
    service = named(documents, "Service", "mien-grpc")["spec"]
    if service.get("clusterIP") != "None":
        yield "Service mien-grpc: must be headless, or a connection stays with one pod"
    for document in documents:
        if document["kind"] == "Service" and document["spec"]["selector"].get("app.kubernetes.io/part-of") == "mien":
            if [(p["port"], p["targetPort"]) for p in document["spec"]["ports"]] != [(port, "grpc")]:
                yield f"Service {document['metadata']['name']}: its port is not {port}"
            if document["spec"]["selector"].get("app.kubernetes.io/component") != "frontend":
                yield f"Service {document['metadata']['name']}: selects pods without an orchestrator"


def _graceful_end(documents: list[Manifest]) -> Iterator[str]:
    arguments = serve_config(documents)["applications"][0]["args"]
    drain = arguments["server"].get("drain_s", ServerSettings().drain_s)
    for name, pod in ray_pods(documents).items():
        if name == "head":
            continue
        (container,) = pod["containers"]
        before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if not before or pod.get("terminationGracePeriodSeconds", 30) <= before + drain + 5:
            yield f"pod {name}: is killed before preStop and the drain of {drain:g} s are over"


def _budget(documents: list[Manifest]) -> Iterator[str]:
    for document in documents:
        if document["kind"] == "PodDisruptionBudget" and not isinstance(document["spec"].get("minAvailable"), int):
            yield "PodDisruptionBudget: minAvailable must be a number of pods"


def _network(documents: list[Manifest]) -> Iterator[str]:
    policies = [doc["spec"] for doc in documents if doc["kind"] == "NetworkPolicy"]
    selected = [policy["podSelector"].get("matchLabels", {}) for policy in policies]
    if {"app.kubernetes.io/part-of": "mien"} not in selected:
        yield "NetworkPolicy: none covers all of Mien's pods"
    for policy in policies:
        for rule in policy["ingress"]:
            anyone = any(peer.get("namespaceSelector") == {} and "podSelector" not in peer for peer in rule["from"])
            if anyone and [port["port"] for port in rule.get("ports", [])] != [50051]:
                yield "NetworkPolicy: strangers reach more than the gRPC port"


def _scraped(documents: list[Manifest]) -> Iterator[str]:
    monitors = [doc["spec"] for doc in documents if doc["kind"] == "PodMonitor"]
    scraped = {endpoint["port"] for monitor in monitors for endpoint in monitor["podMetricsEndpoints"]}
    allowed = _ports_for(documents, "prometheus")
    for name, container in containers(documents):
        for port in container["ports"]:
            if not monitors or not port["name"].endswith("metrics"):
                continue
            if port["name"] not in scraped:
                yield f"pod {name}: port {port['name']} is not scraped"
            if port["containerPort"] not in allowed:
                yield f"pod {name}: no NetworkPolicy lets Prometheus reach its port {port['name']}"


def _ports_for(documents: list[Manifest], application: str) -> set[int]:
    """Return the ports of Mien's pods that the policies open to another application's pods."""
    peer = {"matchLabels": {"app.kubernetes.io/name": application}}
    rules = [rule for doc in documents if doc["kind"] == "NetworkPolicy" for rule in doc["spec"]["ingress"]]
    opened = [rule for rule in rules if any(source.get("podSelector") == peer for source in rule["from"])]
    return {port["port"] for rule in opened for port in rule["ports"]}


RULES: tuple[Rule, ...] = (
    _restricted,
    _scratch,
    _autoscaler,
    _tokens,
    _settings_alone,
    _images,
    _resources,
    _probes,
    _frontend,
    _graceful_end,
    _budget,
    _network,
    _scraped,
)
