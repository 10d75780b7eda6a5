"""Rules for the Serve config, and for the pod groups that must have room for it."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import ServeDeploySchema

from mien.errors import SettingsError
from mien_orchestrator.cluster.autoscaling import POLICY
from mien_orchestrator.settings import ROLES, Settings
from mien_orchestrator.settings.serve_config import IMPORT_PATH, ORCHESTRATOR, settings_of, variant_deployment
from tests.deploy.manifests import Manifest, cluster, deployments, groups, serve_config
from tests.deploy.operator_rules import Rule

_MILLI = 1000


def cpus(quantity: str) -> float:
    """Convert Kubernetes' quantity of CPUs to a number."""
    return int(quantity[:-1]) / _MILLI if quantity.endswith("m") else float(quantity)


def _schema(documents: list[Manifest]) -> Iterator[str]:
    try:
        ServeDeploySchema.model_validate(serve_config(documents))
        for deployment in deployments(documents).values():
            AutoscalingConfig.model_validate(deployment["autoscaling_config"])
    except ValidationError as error:
        yield f"Ray Serve rejects the config: {error.errors()[0]['loc']} {error.errors()[0]['msg']}"


def _settings(documents: list[Manifest]) -> Iterator[str]:
    config = serve_config(documents)
    try:
        settings = Settings.load(settings_of(config))
    except (SettingsError, ValueError) as error:
        yield f"`mien serve --config` rejects the config: {error}"
        return
    variants = {variant_deployment(task, role) for role in ROLES for task in settings.rollout(role)}
    missing = {ORCHESTRATOR, *settings.served, *variants} - deployments(documents).keys()
    if missing:
        yield f"the Serve config has no deployment {', '.join(sorted(missing))}"


def _application(documents: list[Manifest]) -> Iterator[str]:
    config = serve_config(documents)
    if config.get("proxy_location") != "Disabled":
        yield "Serve's own proxy is on; the orchestrators answer callers"
    if [app["import_path"] for app in config["applications"]] != [IMPORT_PATH]:
        yield f"the application must be {IMPORT_PATH}"
    arguments = config["applications"][0]["args"]
    if arguments.get("server", {}).get("host") != "0.0.0.0":
        yield "the orchestrators listen on an address that no other pod reaches"


def _orchestrators(documents: list[Manifest]) -> Iterator[str]:
    orchestrator = deployments(documents)[ORCHESTRATOR]
    scaling = orchestrator["autoscaling_config"]
    if scaling.get("policy") != {"policy_function": POLICY}:
        yield f"orchestrators must scale by {POLICY}: their calls bypass Serve"
    if orchestrator.get("max_replicas_per_node") != 1:
        yield "several orchestrators may share a pod, so that load is not balanced between pods"
    threads = serve_config(documents)["applications"][0]["args"].get("limits", {}).get("cpu_threads")
    available = _size(_group_of(documents, orchestrator), "cpu")
    if threads != available:
        yield f"cpu_threads is {threads}, but an orchestrator's pod has {available:g} CPUs (and sees the node's)"


def _head(documents: list[Manifest]) -> Iterator[str]:
    if cluster(documents)["headGroupSpec"]["rayStartParams"].get("num-cpus") != "0":
        yield "replicas may be placed on the head"


def _placement(documents: list[Manifest]) -> Iterator[str]:
    for name, group in groups(documents).items():
        if group.get("labels", {}).get("mien/group") != name:
            yield f"group {name}: its label mien/group differs"
    for name, deployment in deployments(documents).items():
        wanted = deployment["ray_actor_options"].get("label_selector", {}).get("mien/group")
        if wanted not in groups(documents):
            yield f"deployment {name}: no group of pods is labelled {wanted!r}"


def _graphics(documents: list[Manifest]) -> Iterator[str]:
    for name, deployment in deployments(documents).items():
        group = _group_of(documents, deployment)
        config = deployment.get("user_config", {})
        wants = (deployment["ray_actor_options"].get("num_gpus", 0) > 0, config.get("device") == "cuda")
        image = (group or {}).get("template", {}).get("spec", {}).get("containers", [{}])[0].get("image", "")
        has = (_size(group, "nvidia.com/gpu") > 0, image.endswith("-cuda"))
        if len({*wants, *has}) != 1:
            yield f"deployment {name}: num_gpus, device cuda, the group's graphics card and its image do not agree"
        if config.get("device") == "cuda" and config.get("runtime") != "torch":
            yield f"deployment {name}: only the torch runtime uses a graphics card"


def _capacity(documents: list[Manifest]) -> Iterator[str]:
    for name, group in groups(documents).items():
        here = [d for d in deployments(documents).values() if _group_of(documents, d) is group]
        for option, resource in (("num_cpus", "cpu"), ("num_gpus", "nvidia.com/gpu")):
            size = _size(group, resource)
            for bound, pods in (("max", group["maxReplicas"]), ("min", group["minReplicas"])):
                requested = sum(
                    d["ray_actor_options"].get(option, 0) * d["autoscaling_config"][f"{bound}_replicas"] for d in here
                )
                if requested > pods * size:
                    yield f"group {name}: {bound}_replicas need {requested:g} {resource}, the pods have {pods * size:g}"
        alone = [d["autoscaling_config"]["max_replicas"] for d in here if d.get("max_replicas_per_node") == 1]
        if any(count > group["maxReplicas"] for count in alone):
            yield f"group {name}: fewer pods than replicas that want one each"


def _group_of(documents: list[Manifest], deployment: Manifest) -> Manifest | None:
    return groups(documents).get(deployment["ray_actor_options"].get("label_selector", {}).get("mien/group"))


def _size(group: dict[str, Any] | None, resource: str) -> float:
    """Return how much of a resource one pod of a group has."""
    if group is None:
        return 0
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    return cpus(str(limits.get(resource, 0)))


RULES: tuple[Rule, ...] = (
    _schema,
    _settings,
    _application,
    _orchestrators,
    _head,
    _placement,
    _graphics,
    _capacity,
)
