"""Tests of the component `web` and of the local stack: that names and ports agree, and that the files are valid."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mien_orchestrator.settings import Settings
from mien_orchestrator.settings.groups import StreamsSettings
from tests.deploy.manifests import K8S, ROOT, Manifest, groups, named
from tests.deploy.schemas import CustomKinds, problems

LOCAL = ROOT / "deploy" / "local"
ENVOY = yaml.safe_load((K8S / "components" / "web" / "envoy.yaml").read_text())["static_resources"]


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    """The overlay `dev` with the component."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl renders the manifests (no cluster needed): install Debian's kubernetes-client")
    folder = tmp_path_factory.mktemp("web") / "k8s"
    shutil.copytree(K8S, folder)
    file = folder / "overlays" / "dev" / "kustomization.yaml"
    file.write_text(file.read_text() + "components: [../../components/web]\n")
    command = ["kubectl", "kustomize", file.parent]
    return list(yaml.safe_load_all(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def upstreams() -> dict[str, int]:
    """Return the port of each name that Envoy connects to."""
    found = {}
    for cluster in ENVOY["clusters"]:
        (endpoints,) = cluster["load_assignment"]["endpoints"]
        (endpoint,) = endpoints["lb_endpoints"]
        address = endpoint["endpoint"]["address"]["socket_address"]
        found[address["address"]] = address["port_value"]
    return found


def test_envoy_connects_to_services_of_the_cluster(documents: list[Manifest]) -> None:
    (container,) = groups(documents)["frontend"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for name, number in upstreams().items():
        (port,) = named(documents, "Service", name)["spec"]["ports"]
        assert (port["port"], ports[port["targetPort"]]) == (number, number)
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert variables["MIEN_HTTP__PORT"] == str(upstreams()["mien-http"])


def test_envoy_gets_its_configuration_and_its_port(documents: list[Manifest]) -> None:
    pod = named(documents, "Deployment", "mien-web")["spec"]["template"]["spec"]
    (envoy,) = pod["containers"]
    (listener,) = ENVOY["listeners"]
    assert envoy["ports"][0]["containerPort"] == listener["address"]["socket_address"]["port_value"]
    (mounted,) = (volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume)
    assert "envoy.yaml" in named(documents, "ConfigMap", mounted)["data"]


@pytest.mark.shared
def test_every_document_of_the_component_matches_its_schema(
    documents: list[Manifest], custom_kinds: CustomKinds
) -> None:
    assert list(problems(documents, custom_kinds)) == []


def test_envoy_waits_longer_than_a_stream_may_be_silent() -> None:
    (listener,) = ENVOY["listeners"]
    (chain,) = listener["filter_chains"]
    timeout = chain["filters"][0]["typed_config"]["stream_idle_timeout"]
    assert float(timeout.removesuffix("s")) > StreamsSettings().idle_timeout_s


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services of the local stack."""
    found: dict[str, Any] = yaml.safe_load((LOCAL / "compose.yaml").read_text())["services"]
    return found


def test_the_files_of_the_local_stack_exist(services: dict[str, Any]) -> None:
    mounted = [Path(volume.split(":")[0]) for service in services.values() for volume in service.get("volumes", [])]
    assert len(mounted) == 5
    assert [path for path in mounted if not (LOCAL / path).is_file()] == []


def test_the_local_server_has_the_names_and_ports_that_the_others_use(services: dict[str, Any]) -> None:
    mien = services["mien"]
    assert set(mien["networks"]["default"]["aliases"]) == upstreams().keys()
    settings = Settings.load({"telemetry.metrics_port": mien["environment"]["MIEN_TELEMETRY__METRICS_PORT"]})
    assert mien["command"][mien["command"].index("--http-port") + 1] == str(upstreams()["mien-http"])
    scraped = yaml.safe_load((LOCAL / "prometheus.yaml").read_text())["scrape_configs"][0]["static_configs"]
    assert scraped == [{"targets": [f"mien-grpc:{settings.telemetry.metrics_port}"]}]


def test_prometheus_accepts_its_configuration() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: Debian's package prometheus")
    subprocess.run([promtool, "check", "config", LOCAL / "prometheus.yaml"], check=True)
