"""Import directions between and inside the packages, import circles, and what a light import leaves out."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [
    ROOT / "client" / "mien",
    ROOT / "models" / "mien_models",
    ROOT / "models" / "mien_training",
    ROOT / "orchestrator" / "mien_orchestrator",
    ROOT / "workers" / "mien_workers",
]

ALLOWED = {
    "mien": {"mien_models.errors"},
    "mien.transport.local": {"mien_models.errors", "mien_orchestrator.embedded", "mien_orchestrator.settings"},
    "mien_models": set[str](),
    "mien_training": {"mien_models"},
    "mien_workers": {"mien", "mien_models"},
    "mien_orchestrator": {"mien", "mien_models", "mien_workers"},
    "mien_orchestrator.commands": {"mien", "mien_models", "mien_training", "mien_workers"},
}
"""What each package may import of the others; a module's longest matching name counts."""

LAYERS = [
    ["commands"],
    ["single", "cluster", "embedded"],
    ["build"],
    ["edge"],
    ["telemetry"],
    ["pipeline"],
    ["settings", "file_watch"],
]
"""The orchestrator's packages, from top to bottom: an import goes down or stays inside its package."""

SEEN_FROM_BELOW = {"mien_orchestrator.settings": {"mien_orchestrator.cluster.serve_config"}}
"""Imports that go up: the settings file may be a Serve config."""


def modules() -> dict[str, Path]:
    """Return every module of ours by its dotted name; a package is its `__init__`."""
    found = {}
    for source in SOURCES:
        for path in sorted(source.rglob("*.py")):
            parts = path.relative_to(source.parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(name: str) -> Iterator[tuple[str, bool]]:
    """Yield the modules that a module imports, at its top or inside a function, and whether only type checkers do."""
    tree = ast.parse(MODULES[name].read_text())
    typing_only = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole if whole in MODULES else node.module), node in typing_only


def ours(name: str) -> set[str]:
    """Return the modules of ours that a module imports when it runs."""
    return {target for target, typing_only in imports(name) if target in MODULES and not typing_only} - {name}


def below(name: str, allowed: set[str]) -> bool:
    return any(name == item or name.startswith(f"{item}.") for item in allowed)


@pytest.mark.parametrize("name", MODULES)
def test_a_package_imports_only_the_packages_that_it_may(name: str) -> None:
    rule = max((key for key in ALLOWED if below(name, {key})), key=len)
    own = name.partition(".")[0]
    assert [target for target in ours(name) if not below(target, ALLOWED[rule] | {own})] == []


def test_no_import_circle_exists() -> None:
    graph = {name: ours(name) for name in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import circle: {' -> '.join(error.args[1])}")


def test_the_orchestrators_packages_import_downwards() -> None:
    layer = {package: depth for depth, row in enumerate(LAYERS) for package in row}
    upward = [
        (name, target)
        for name in MODULES
        if name.startswith("mien_orchestrator.")
        for target in ours(name)
        if target.startswith("mien_orchestrator.")
        and layer[name.split(".")[1]] >= layer[target.split(".")[1]]
        and name.split(".")[1] != target.split(".")[1]
        and target not in SEEN_FROM_BELOW.get(name, set())
    ]
    assert upward == []


def test_every_package_of_the_orchestrator_has_a_layer() -> None:
    packages = {name.split(".")[1] for name in MODULES if name.startswith("mien_orchestrator.")}
    assert packages == {package for row in LAYERS for package in row}


def test_the_pipeline_knows_no_transport() -> None:
    for name in MODULES:
        if below(name, {"mien_orchestrator.pipeline", "mien_models", "mien_training"}):
            packages = {target.partition(".")[0] for target, typing_only in imports(name) if not typing_only}
            assert not packages & {"grpc", "ray", "fastapi", "starlette", "uvicorn"}, name


def test_only_the_cluster_and_the_workers_deployment_import_ray() -> None:
    knowing = {name for name in MODULES for target, _ in imports(name) if target.partition(".")[0] == "ray"}
    assert all(below(name, {"mien_orchestrator.cluster", "mien_workers.deployment"}) for name in knowing)
    assert knowing


def test_a_package_holds_about_a_dozen_modules() -> None:
    packages: dict[str, int] = {}
    for name in MODULES:
        packages[name.rpartition(".")[0]] = packages.get(name.rpartition(".")[0], 0) + 1
    del packages[""]
    assert {name: count for name, count in packages.items() if count > 15} == {}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("mien", ("torch", "ray", "cv2", "onnxruntime", "pydantic", "mien_orchestrator")),
        ("mien.cli.main", ("torch", "ray", "cv2", "onnxruntime")),
        ("mien_orchestrator.embedded", ("torch", "ray", "onnx")),
        ("mien_orchestrator.edge.server", ("torch", "ray")),
        ("mien_orchestrator.commands.main", ("torch", "ray", "onnx", "h5py")),
    ],
)
def test_imports_stay_light(module: str, absent: tuple[str, ...]) -> None:
    code = f"import {module}, sys; print([name for name in {absent!r} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
