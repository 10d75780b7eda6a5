"""Tests that canaries are promoted and removed in settings files and Serve configs."""

import os
import re
import stat
from pathlib import Path

import pytest

from mien.errors import SettingsError
from mien_orchestrator.settings import Settings
from mien_orchestrator.settings.rollout_file import abort, promote

PLAIN = """\
# our server
server: {port: 50052}  # beside the old one
tasks:
  emotion:
    model: mien-emotion
    canary: {model: mini-xception-emotion, share: 0.2}
    shadow: {model: mini-xception-emotion}
  age:
    canary:
      model: ssrnet-age
"""

SERVE = """\
proxy_location: Disabled
applications:
  - name: mien
    import_path: mien_orchestrator.cluster.app:build
    args:
      server: {host: 0.0.0.0}
      tasks: {emotion: {canary: {model: mini-xception-emotion, share: 0.2}}}  # try it
    deployments:
      - name: emotion
        user_config: {model: mien-emotion}
      - name: emotion-canary  # goes with the canary
        ray_actor_options: {num_cpus: 0.5, label_selector: {mien/group: cpu}}
        autoscaling_config: {min_replicas: 2, max_replicas: 3}
"""


def accept(settings: Settings) -> None:
    pass


def written(folder: Path, text: str) -> Path:
    path = folder / "mien.yaml"
    path.write_text(text)
    return path


def test_a_canary_becomes_the_stable_model(tmp_path: Path) -> None:
    path = written(tmp_path, PLAIN)
    path.chmod(0o640)
    assert promote(path, "emotion", accept) == "mini-xception-emotion"
    settings = Settings.load(config=path)
    assert settings.tasks["emotion"].model == "mini-xception-emotion"
    assert settings.rollout("canary") == {"age": "ssrnet-age"}
    assert settings.rollout("shadow") == {}  # of the same model
    assert "# our server\nserver: {port: 50052}  # beside the old one\n" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["mien.yaml"]


def test_a_task_without_a_model_gets_one(tmp_path: Path) -> None:
    path = written(tmp_path, PLAIN)
    promote(path, "age", accept)
    assert Settings.load(config=path).tasks["age"].model == "ssrnet-age"


def test_a_canary_or_a_shadow_is_removed(tmp_path: Path) -> None:
    path = written(tmp_path, PLAIN)
    assert abort(path, "emotion", "canary", accept) == "mini-xception-emotion"
    assert abort(path, "age", "canary", accept) == "ssrnet-age"
    settings = Settings.load(config=path)
    assert (settings.rollout("canary"), settings.tasks["emotion"].model) == ({}, "mien-emotion")
    assert settings.rollout("shadow") == {"emotion": "mini-xception-emotion"}
    abort(path, "emotion", "shadow", accept)
    assert Settings.load(config=path).rollout("shadow") == {}


def test_the_deployment_of_a_canary_is_part_of_a_serve_config(tmp_path: Path) -> None:
    canary = Settings.load(config=written(tmp_path, SERVE)).tasks["emotion"].canary
    assert (canary.model, canary.share, canary.scaling.min_replicas) == ("mini-xception-emotion", 0.2, 2)


def test_a_serve_config_is_promoted_in_arguments_and_deployments(tmp_path: Path) -> None:
    path = written(tmp_path, SERVE)
    promote(path, "emotion", accept)
    text = path.read_text()
    assert "emotion-canary" not in text
    assert "user_config: {model: mini-xception-emotion}" in text
    assert re.search(r"tasks: \{emotion: \{model: mini-xception-emotion\}\} +# try it", text)
    assert Settings.load(config=path).tasks["emotion"].model == "mini-xception-emotion"


def test_a_canary_is_removed_from_a_serve_config(tmp_path: Path) -> None:
    path = written(tmp_path, SERVE)
    abort(path, "emotion", "canary", accept)
    assert "canary" not in path.read_text()
    assert Settings.load(config=path).tasks["emotion"].model == "mien-emotion"


def test_the_file_stays_if_the_change_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, PLAIN)

    def refuse(settings: Settings) -> None:
        raise SettingsError("no")

    with pytest.raises(SettingsError, match="no"):
        promote(path, "emotion", refuse)
    with pytest.raises(SettingsError, match="task gender has no canary; tasks with a canary: age, emotion"):
        promote(path, "gender", accept)
    monkeypatch.setenv("MIEN_TASKS__EMOTION__CANARY__MODEL", "mini-xception-emotion")
    with pytest.raises(SettingsError, match="set by MIEN_TASKS__EMOTION__CANARY__MODEL; unset it there"):
        abort(path, "emotion", "canary", accept)
    assert path.read_text() == PLAIN
    assert os.listdir(tmp_path) == ["mien.yaml"]
