"""Tests of options that the commands of `client` check before they read any input."""

import pytest
from typer.testing import CliRunner

from mien.cli.main import app


@pytest.mark.parametrize("command", [["analyze", "missing.jpg", "absent.jpg"], ["video", "missing.mp4"]])
@pytest.mark.parametrize("count", ["0", "-1", "99999999999"])
def test_an_invalid_maximum_of_faces_is_one_usage_error(command: list[str], count: str) -> None:
    result = CliRunner().invoke(app, [*command, "--max-faces", count])
    assert result.exit_code == 2
    assert result.output.count("max_faces") == 1
    assert f"from 1 to 4294967295, not {count}" in " ".join(result.output.replace("│", " ").split())
