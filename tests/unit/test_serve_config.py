"""Tests of settings read from a Ray Serve config."""

from pathlib import Path

import pytest
import yaml

from mien.errors import SettingsError
from mien_orchestrator.settings import Settings

CONFIG = """
proxy_location: Disabled
applications:
  - name: mien
    import_path: mien_orchestrator.cluster.app:build
    args: {server: {port: 1234}, tasks: {age: {threads: 2}}}
    deployments:
      - name: orchestrator
        max_replicas_per_node: 1
        ray_actor_options: {num_cpus: 2, label_selector: {mien/group: frontend}}
        autoscaling_config:
          min_replicas: 2
          max_replicas: 3
          policy: {policy_function: "mien_orchestrator.cluster.autoscaling:by_in_flight_calls"}
      - name: age
        ray_actor_options: {num_cpus: 0.5}
        autoscaling_config: {min_replicas: 0, max_replicas: 4, initial_replicas: 1}
        user_config: {model: ssrnet-age}
        max_ongoing_requests: 7
"""


def load(folder: Path, content: str) -> Settings:
    path = folder / "serve.yaml"
    path.write_text(content)
    return Settings.load(config=path)


def test_deployment_options_override_the_arguments(tmp_path: Path) -> None:
    settings = load(tmp_path, CONFIG)
    orchestrator, age = settings.orchestrator, settings.tasks["age"]
    assert settings.server.port == 1234
    assert (orchestrator.num_cpus, orchestrator.scaling.min_replicas, orchestrator.scaling.max_replicas) == (2, 2, 3)
    assert (age.model, age.threads, age.num_cpus, age.max_ongoing_requests) == ("ssrnet-age", 2, 0.5, 7)
    assert (age.scaling.min_replicas, age.scaling.max_replicas) == (0, 4)
    assert settings.tasks["gender"] == Settings.load().tasks["gender"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("mien_orchestrator.cluster.app:build", "other:app"),
            "one application with import_path 'mien_orchestrator.cluster.app:build'",
        ),
        (
            ("max_ongoing_requests", "max_ongoing"),
            "tasks.age.max_ongoing: unknown setting; did you mean tasks.age.max_ongoing_requests?",
        ),
        (("name: age", "name: nose"), "tasks.nose"),
        (
            ("min_replicas: 2\n          max_replicas: 3", "min_replicas: 0"),
            "only a running orchestrator can be called",
        ),
        (("max_replicas: 4", "max_replicas: 4, look_back_period_s: 1"), "must be above metrics_interval_s"),
        (("min_replicas: 0, max_replicas: 4", "min_replicas: 5"), "min_replicas (5) is above max_replicas (1)"),
    ],
)
def test_an_invalid_config_is_an_error(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    assert change[0] in CONFIG
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, CONFIG.replace(*change))
    assert message in str(caught.value)


def test_a_config_without_deployments_is_its_arguments(tmp_path: Path) -> None:
    content = yaml.safe_load(CONFIG)
    del content["applications"][0]["deployments"]
    settings = load(tmp_path, yaml.safe_dump(content))
    assert settings == Settings.load({"server.port": 1234, "tasks": {"age": {"threads": 2}}})
