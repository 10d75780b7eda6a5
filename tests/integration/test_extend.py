"""Tests that follow `docs/extend.md`: they add a task to a copy of the packages, by the steps that the page lists."""

import ast
import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.glasses import EDITS, WEIGHTS, copy_with_glasses

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "astronaut.jpg"
SOURCES = ("client", "models", "orchestrator", "workers")
CLIENT = "import sys; from mien.cli.main import app; app(sys.argv[1:])"

TASK_PAIRS = (
    {"'gender'", "'emotion'"},
    {"'p_male'", "'probabilities'"},
    {".gender", ".emotion"},
    {".gender", ".emotions"},
    {"GenderHead", "EmotionHead"},
)
"""Names that together show that a module treats the tasks one by one: texts, attributes and classes."""


def listed(heading: str) -> set[str]:
    """Return the files that a section of the page names."""
    section = (ROOT / "docs" / "extend.md").read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert section, heading
    return {name for name in re.findall(r"`([\w/.-]+\.(?:py|proto|yaml|md))`", section) if "/" in name}


def names_in(path: Path) -> set[str]:
    """Return the texts (in quotes), attributes (with a dot) and names of a module."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    texts = {repr(node.value) for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    attributes = {f".{node.attr}" for node in nodes if isinstance(node, ast.Attribute)}
    return texts | attributes | {node.id for node in nodes if isinstance(node, ast.Name)}


def test_the_files_of_the_page_exist() -> None:
    sections = ("Serve it", "Follow it in a stream", "Train and measure it", "Deploy it")
    everything = {name for section in sections for name in listed(section)}
    assert [name for name in sorted(everything) if not (ROOT / name).exists()] == []


def test_the_page_lists_the_files_that_a_served_task_changes() -> None:
    assert listed("Serve it") == set(EDITS)


def test_the_page_lists_every_module_that_treats_the_tasks_one_by_one() -> None:
    found = {
        str(path.relative_to(ROOT))
        for top in SOURCES
        for path in (ROOT / top).rglob("*.py")
        if "_pb2" not in path.name and any(pair <= names_in(path) for pair in TASK_PAIRS)
    }
    known = listed("Serve it") | listed("Follow it in a stream") | listed("Train and measure it")
    assert len(found) > 20
    assert found - known == set()


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages with the task `glasses`, its stubs and an untrained model."""
    folder = tmp_path_factory.mktemp("glasses")
    copy_with_glasses(folder)
    run(folder, "protos/generate.py", "client")
    run(folder, "-c", WEIGHTS)
    return folder


def run(folder: Path, *arguments: str) -> str:
    """Run Python with the packages of the copy; return what it printed."""
    paths = os.pathsep.join(str(folder / top) for top in SOURCES)
    ended = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=280,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, "MYPYPATH": ""},
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.slow
def test_the_added_task_is_served_and_shown(extended: Path) -> None:
    reply = json.loads(run(extended, "-c", CLIENT, "analyze", str(PHOTO), "--json"))
    (face,) = reply["faces"]
    assert 0 < face["glasses"] < 1
    assert [(task["task"], task["status"]["code"]) for task in reply["tasks"]] == [
        (name, 0) for name in ("age", "gender", "emotion", "glasses")
    ]
    shown = f"{face['glasses']:.0%}"
    assert shown in run(extended, "-c", CLIENT, "analyze", str(PHOTO), "--tasks", "glasses")
    (row,) = csv.DictReader(io.StringIO(run(extended, "-c", CLIENT, "analyze", str(PHOTO), "--csv")))
    assert float(row["glasses"]) == pytest.approx(face["glasses"], abs=1e-3)


@pytest.mark.slow
def test_the_listed_edits_satisfy_mypy(extended: Path) -> None:
    """A `match` over heads or tasks that lacks the new one is an error of mypy's: no file is missing."""
    assert "Success" in run(extended, "-m", "mypy")
    served = extended / "models" / "mien_models" / "networks" / "served.py"
    whole = served.read_text()
    served.write_text(whole.replace("        case GlassesHead():\n", "        case None:\n"))
    try:
        with pytest.raises(AssertionError, match="Missing return statement"):
            run(extended, "-m", "mypy")
    finally:
        served.write_text(whole)
