"""Tests that a canary on Kubernetes is a change of one file, which `mien rollout` makes."""

import copy
import shutil
from pathlib import Path

import pytest
import yaml

from mien_orchestrator.settings import Settings
from mien_orchestrator.settings.rollout_file import promote
from mien_orchestrator.settings.serve_config import variant_deployment
from tests.deploy import serve_rules
from tests.deploy.manifests import K8S, Manifest, deployments, ray_service

CANARY = "mini-xception-emotion"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The Serve config of the overlay for production, with a canary."""
    path = tmp_path / "serve.yaml"
    shutil.copy(K8S / "overlays" / "prod-cpu" / "serve.yaml", path)
    config = yaml.safe_load(path.read_text())
    (application,) = config["applications"]
    application["args"]["tasks"] = {"emotion": {"canary": {"model": CANARY}}}
    (emotion,) = (each for each in application["deployments"] if each["name"] == "emotion")
    canary = copy.deepcopy(emotion) | {"name": variant_deployment("emotion", "canary")}
    del canary["user_config"]
    canary["autoscaling_config"] |= {"min_replicas": 1, "max_replicas": 1}
    emotion["autoscaling_config"]["max_replicas"] -= 1
    application["deployments"].append(canary)
    path.write_text(yaml.safe_dump(config))
    return path


def with_config(documents: list[Manifest], file: Path) -> list[Manifest]:
    changed = copy.deepcopy(documents)
    ray_service(changed)["spec"]["serveConfigV2"] = file.read_text()
    return changed


def violations(documents: list[Manifest]) -> list[str]:
    return [problem for rule in serve_rules.RULES for problem in rule(documents)]


def test_a_canary_satisfies_every_rule_before_and_after_its_promotion(
    rendered: dict[str, list[Manifest]], file: Path
) -> None:
    documents = rendered["prod-cpu"]
    assert violations(with_config(documents, file)) == []
    assert Settings.load(config=file).tasks["emotion"].canary.scaling.max_replicas == 1
    promote(file, "emotion", lambda settings: None)
    promoted = with_config(documents, file)
    assert violations(promoted) == []
    assert deployments(promoted).keys() == {"orchestrator", "age", "gender", "emotion"}
    assert deployments(promoted)["emotion"]["user_config"]["model"] == CANARY


def test_a_canary_without_its_deployment_is_noticed(rendered: dict[str, list[Manifest]], file: Path) -> None:
    config = yaml.safe_load(file.read_text())
    config["applications"][0]["deployments"].pop()
    file.write_text(yaml.safe_dump(config))
    (problem,) = violations(with_config(rendered["prod-cpu"], file))
    assert problem == "the Serve config has no deployment emotion-canary"
