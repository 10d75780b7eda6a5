"""Tests of `mien config`: validating settings files and showing settings."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.certificates import Authority

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]


def config(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run([BIN / "mien", "config", *words], capture_output=True, text=True, timeout=60, env=environment)


def test_a_valid_file_is_ok_and_a_misspelt_setting_is_a_usage_error(tmp_path: Path) -> None:
    file = tmp_path / "mien.yaml"
    file.write_text("server: {port: 1111}")
    checked = config("check", file)
    assert (checked.stdout, checked.returncode) == (f"{file}: OK\n", 0), checked.stderr
    file.write_text("server: {prot: 1111}")
    checked = config("check", file)
    assert (checked.stdout, checked.returncode) == ("", 2)
    assert checked.stderr == (
        f"mien: invalid settings: {file}: server.prot: unknown setting; did you mean server.port?\n"
    )


@pytest.mark.parametrize("file", sorted((ROOT / "deploy").rglob("serve.yaml")), ids=lambda file: file.parent.name)
def test_the_deployed_configs_are_valid(file: Path) -> None:
    assert config("check", file).returncode == 0


def test_the_files_in_the_settings_are_checked_on_request(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.issue("config")
    tokens = tmp_path / "tokens"
    valid = {"tls": {"certificate": str(certificate), "key": str(key)}}
    file = tmp_path / "mien.yaml"
    for content, status, message in [
        (valid, 0, ""),
        ({"tls": {"certificate": str(certificate), "key": str(tmp_path / "none.key")}}, 2, "none.key"),
        ({"auth": {"token_file": str(tokens)}}, 2, "tokens"),
        ({"tasks": {"age": {"model": "nose-net"}}}, 1, "unknown model 'nose-net'"),
        ({"detector": {"name": "yunet"}}, 1, "mien models fetch yunet"),
    ]:
        file.write_text(yaml.safe_dump(content))
        assert config("check", file).returncode == 0
        checked = config("check", "--files", file)
        assert checked.returncode == status, checked.stderr
        assert message in checked.stderr
        assert "Traceback" not in checked.stderr


def test_the_settings_in_use_are_shown_with_their_sources(tmp_path: Path) -> None:
    file = tmp_path / "mien.yaml"
    file.write_text("limits: {max_faces: 7}")
    shown = config("show", "--config", file, MIEN_SERVER__PORT="1234")
    assert shown.returncode == 0
    assert "  port: 1234  # MIEN_SERVER__PORT\n" in shown.stdout
    assert f"  max_faces: 7  # {file}\n" in shown.stdout
    values = yaml.safe_load(shown.stdout)
    assert (values["server"]["host"], values["tasks"]["age"]["threads"]) == ("127.0.0.1", 1)
    changed = config("show", "--changed", MIEN_CONFIG=str(file), MIEN_MODEL_STORE="")
    assert changed.stdout == f"limits:\n  max_faces: 7  # {file}\n"
    assert "defaults" in config("show", "--changed", MIEN_MODEL_STORE="").stdout
