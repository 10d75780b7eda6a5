"""Tests that the deployment agrees with the code: versions, switches, import paths, metrics, secrets."""

import re
import tomllib
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import promql_parser
import pytest
import ray.serve
from dockerfile_parse import DockerfileParser

from mien.version import __version__
from mien_orchestrator.cluster.autoscaling import POLICY
from mien_orchestrator.cluster.local import SWITCHES
from mien_orchestrator.settings import ServerSettings, Settings
from mien_orchestrator.settings.serve_config import IMPORT_PATH
from mien_orchestrator.telemetry.metrics import Metrics
from tests.deploy.manifests import K8S, ROOT, Manifest, all_pods, cluster, containers, deployments, named
from tests.deploy.queries import expressions, metric_names

METRIC = re.compile(r"metrics\.(Counter|Gauge|Histogram)\(\s*(?:name=)?\"(\w+)\"")

NODE_METRICS = {"ray_node_mem_used", "ray_node_mem_total"}
"""Metrics of Ray's node agent, which `tests/clusters` checks."""


@pytest.fixture(scope="module")
def dockerfile(tmp_path_factory: pytest.TempPathFactory) -> DockerfileParser:
    parser = DockerfileParser(path=str(tmp_path_factory.mktemp("image")))
    parser.content = (ROOT / "deploy" / "Dockerfile").read_text()
    return parser


def final_stage(dockerfile: DockerfileParser) -> list[dict[str, str]]:
    steps = dockerfile.structure
    last = max(index for index, step in enumerate(steps) if step["instruction"] == "FROM")
    return steps[last:]


def test_the_image_has_the_switches_of_the_code(dockerfile: DockerfileParser) -> None:
    assert dockerfile.envs.items() >= SWITCHES.items()


def test_no_manifest_overrides_a_switch(documents: list[Manifest]) -> None:
    for _, container in containers(documents):
        for variable in container.get("env", []):
            assert variable["name"] not in SWITCHES


def test_the_image_has_no_privileges_and_no_build_tools(dockerfile: DockerfileParser) -> None:
    steps = final_stage(dockerfile)
    (user,) = (step["value"] for step in steps if step["instruction"] == "USER")
    assert user == "10001:10001"
    (check,) = (step["value"] for step in steps if step["instruction"] == "HEALTHCHECK")
    assert "mien" in check
    assert "health" in check
    assert not any("pip" in step["value"] or "apt" in step["value"] for step in steps if step["instruction"] == "RUN")
    assert dockerfile.labels["org.opencontainers.image.version"] == __version__


def test_the_image_copies_every_folder_of_the_wheel(dockerfile: DockerfileParser) -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = {step["value"].split()[0] for step in dockerfile.structure if step["instruction"] == "COPY"}
    sent = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}

    for folder in [*wheel["packages"], *wheel["force-include"]]:
        above = {folder, *map(str, Path(folder).parents)}
        assert above & copied, f"deploy/Dockerfile does not copy {folder}"
        assert above & sent, f".dockerignore leaves {folder} out"


def test_the_image_is_installed_with_pinned_versions(dockerfile: DockerfileParser) -> None:
    installs = [
        step["value"] for step in dockerfile.structure if step["instruction"] == "RUN" and " install " in step["value"]
    ]
    assert installs
    assert all("--constraint" in install for install in installs)


def test_versions_equal_the_codes(documents: list[Manifest]) -> None:
    assert cluster(documents)["rayVersion"] == version("ray") == pinned("ray")
    for name, container in containers(documents):
        if name != "mien-redis":
            assert container["image"].rpartition(":")[2].startswith(f"{__version__}-")


def pinned(package: str) -> str:
    (line,) = (line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith(f"{package}=="))
    return line.partition("==")[2]


@pytest.mark.parametrize("path", [IMPORT_PATH, POLICY])
def test_import_paths_can_be_imported(path: str) -> None:
    module, _, name = path.partition(":")
    assert callable(getattr(import_module(module), name))


def test_the_port_is_the_codes_default(documents: list[Manifest]) -> None:
    (port,) = named(documents, "Service", "mien-grpc")["spec"]["ports"]
    assert port["port"] == ServerSettings().port


@pytest.mark.parametrize("path", sorted(K8S.rglob("serve.yaml")), ids=lambda path: path.parent.name)
def test_mien_serve_accepts_every_serve_config(path: Path) -> None:
    settings = Settings.load(config=path)
    assert list(settings.served) == ["age", "gender", "emotion"]


def test_configured_models_are_shipped(documents: list[Manifest]) -> None:
    weights = ROOT / "models" / "mien_models" / "weights"
    for name, deployment in deployments(documents).items():
        if name != "orchestrator":
            assert (weights / f"{deployment['user_config']['model']}.json").is_file()


def existing() -> set[str]:
    """Return the names under which Ray Serve and the orchestrators export their metrics."""
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    names = set(NODE_METRICS)
    for path in Path(ray.serve.__file__).parent.rglob("*.py"):
        for kind, name in METRIC.findall(path.read_text()):
            names |= {f"ray_{name}{suffix}" for suffix in suffixes[kind.lower()]}
    for family in Metrics().registry.collect():
        names |= {family.name + suffix for suffix in suffixes[family.type]}
    return names


def test_alerts_and_dashboard_query_existing_metrics() -> None:
    assert len(metric_names()) >= 8
    assert metric_names() <= existing()


@pytest.mark.parametrize("query", list(expressions()))
def test_queries_are_promql(query: str) -> None:
    promql_parser.parse(query)


def test_the_guide_creates_every_secret_that_is_not_deployed(rendered: dict[str, list[Manifest]]) -> None:
    guide = (ROOT / "docs" / "deploy.md").read_text()
    requested = set()
    for documents in rendered.values():
        for pod in all_pods(documents).values():
            for container in pod["containers"]:
                for variable in container.get("env", []):
                    requested |= {variable.get("valueFrom", {}).get("secretKeyRef", {}).get("name")}
    assert requested - {None} == {"mien-redis"}
    assert "create secret generic mien-redis" in guide
