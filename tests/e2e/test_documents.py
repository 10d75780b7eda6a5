"""Tests that run the code blocks of the README and the documents."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mien_models.registry import Registry
from mien_orchestrator.build import served_models
from mien_orchestrator.edge.server import Server
from mien_orchestrator.settings import Settings
from tests.photographs import EXAMPLE

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", blocks(ROOT / "README.md", "python"))
def test_python_blocks_run(block: str, single: str) -> None:
    code = block.replace("photo.jpg", "examples/astronaut.jpg").replace("localhost:50051", single)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "female" in result.stdout


@pytest.mark.parametrize(
    "block", [block for name in ("client.md", "video.md") for block in blocks(ROOT / "docs" / name, "python")]
)
def test_python_blocks_of_the_clients_pages_run(block: str, single: str) -> None:
    code = block.replace("photo.jpg", "examples/astronaut.jpg").replace("localhost:50051", single)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("line", [line for block in blocks(ROOT / "README.md", "sh") for line in block.splitlines()])
def test_client_lines_run(line: str, single_server: Server, tmp_path: Path) -> None:
    """Lines that install or serve are run by other tests; these are the client's, and curl's."""
    single, command = single_server.address, line.split("#")[0].strip()
    if command.startswith("curl "):
        command = command.replace("localhost:8080", single_server.http_address).replace("| jq", "--fail --noproxy *")
        command = command.replace("photo.jpg", EXAMPLE.name)
        result = subprocess.run(command.split(), capture_output=True, text=True, cwd=EXAMPLE.parent, check=True)
        assert len(json.loads(result.stdout)["faces"]) == 1
        return
    if not command.startswith("client "):
        assert command.split()[0] in {"make", "pip", "mien"}
        return
    command = command.replace("localhost:50051", single).replace("photo.jpg", str(ROOT / "examples/astronaut.jpg"))
    command = command.replace("photos/", str(ROOT / "examples") + "/").replace(
        "annotated/", str(tmp_path / "annotated")
    )
    result = subprocess.run(f"{Path(sys.executable).parent}/{command}", shell=True, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("block", [block for document in DOCUMENTS for block in blocks(document, "yaml")])
def test_settings_blocks_are_valid(block: str, tmp_path: Path) -> None:
    path = tmp_path / "mien.yaml"
    path.write_text(block)
    settings = Settings.load(config=path)
    assert served_models(settings, Registry())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_have_targets(document: Path) -> None:
    broken = [target for target in LINK.findall(document.read_text()) if not (document.parent / target).exists()]
    assert broken == []


def test_make_help_describes_every_target() -> None:
    result = subprocess.run(["make", "help"], capture_output=True, text=True, cwd=ROOT, check=True)
    described = re.findall(r"^([a-z-]+) +\S", result.stdout, re.MULTILINE)
    (targets,) = re.findall(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert sorted(described) == sorted(targets.split())
