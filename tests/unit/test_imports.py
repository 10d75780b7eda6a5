"""Tests of import directions between and inside the packages, of import circles, and of light imports."""

import subprocess
import sys

import pytest

from tests.import_graph import circles, imports, module_graph, modules

ALLOWED = {
    "mien": {"mien_models.errors"},
    "mien.transport.local": {"mien_models.errors", "mien_orchestrator.embedded", "mien_orchestrator.settings"},
    "mien.cli.demo": {"mien_models.errors", "mien_orchestrator.settings", "mien_orchestrator.single"},
    "mien_models": set[str](),
    "mien_training": {"mien_models"},
    "mien_workers": {"mien", "mien_models"},
    "mien_orchestrator": {"mien", "mien_models", "mien_workers"},
    "mien_orchestrator.commands": {"mien", "mien_models", "mien_training", "mien_workers"},
}
"""The other packages that each package may import; the longest matching name applies."""

LAYERS = [
    ["commands"],
    ["single", "cluster", "embedded"],
    ["build"],
    ["edge"],
    ["telemetry"],
    ["pipeline"],
    ["settings", "file_watch", "pid_file"],
]
"""The orchestrator's packages, from top to bottom: an import goes down or stays inside its package."""

MODULES = modules()
GRAPH = module_graph(MODULES)


def ours(name: str) -> set[str]:
    """Return the modules of ours that a module imports at run time."""
    return GRAPH[name]


def below(name: str, allowed: set[str]) -> bool:
    return any(name == item or name.startswith(f"{item}.") for item in allowed)


@pytest.mark.parametrize("name", MODULES)
def test_a_package_imports_only_allowed_packages(name: str) -> None:
    rule = max((key for key in ALLOWED if below(name, {key})), key=len)
    own = name.partition(".")[0]
    assert [target for target in ours(name) if not below(target, ALLOWED[rule] | {own})] == []


def test_no_import_circle_exists() -> None:
    assert circles(GRAPH) == []


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
    ]
    assert upward == []


def test_every_package_of_the_orchestrator_has_a_layer() -> None:
    packages = {name.split(".")[1] for name in MODULES if name.startswith("mien_orchestrator.")}
    assert packages == {package for row in LAYERS for package in row}


def test_the_pipeline_and_the_models_import_no_transport() -> None:
    for name in MODULES:
        if below(name, {"mien_orchestrator.pipeline", "mien_models", "mien_training"}):
            packages = {
                target.partition(".")[0]
                for target, typing_only in imports(MODULES[name], MODULES.keys())
                if not typing_only
            }
            assert not packages & {"grpc", "ray", "fastapi", "starlette", "uvicorn"}, name


def test_only_the_cluster_and_the_workers_deployment_import_ray() -> None:
    importing = {
        name
        for name in MODULES
        for target, _ in imports(MODULES[name], MODULES.keys())
        if target.partition(".")[0] == "ray"
    }
    assert all(below(name, {"mien_orchestrator.cluster", "mien_workers.deployment"}) for name in importing)
    assert importing


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
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
