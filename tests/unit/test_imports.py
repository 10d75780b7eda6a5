"""Who may import whom, and what a light import leaves out."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "mien": ROOT / "client" / "mien",
    "mien_models": ROOT / "models" / "mien_models",
    "mien_orchestrator": ROOT / "orchestrator" / "mien_orchestrator",
    "mien_workers": ROOT / "workers" / "mien_workers",
}
ALLOWED = {
    "mien": {"mien", "mien_orchestrator"},  # the embedded engine, inside one function
    "mien_models": {"mien_models"},
    "mien_orchestrator": {"mien", "mien_models", "mien_orchestrator", "mien_workers"},
    "mien_workers": {"mien", "mien_models", "mien_orchestrator", "mien_workers"},
}


def imported(path: Path) -> set[str]:
    """Return the top-level names that a file imports anywhere."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_they_may(package: str) -> None:
    for path in PACKAGES[package].rglob("*.py"):
        ours = imported(path) & PACKAGES.keys()
        assert ours <= ALLOWED[package], path


def test_only_one_module_of_the_sdk_knows_the_embedded_engine() -> None:
    knowing = [path.name for path in PACKAGES["mien"].rglob("*.py") if "mien_orchestrator" in imported(path)]
    assert knowing == ["engine.py"]


def test_only_workers_import_ray() -> None:
    knowing = {name for name, folder in PACKAGES.items() for path in folder.rglob("*.py") if "ray" in imported(path)}
    assert knowing == {"mien_workers"}


def test_the_ensemble_knows_no_transport() -> None:
    folder = PACKAGES["mien_orchestrator"]
    for name in ("ensemble.py", "backend.py", "reply.py", "timing.py", "service.py"):
        assert not imported(folder / name) & {"grpc", "ray"}, name


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("mien", ("torch", "ray", "cv2", "onnxruntime", "pydantic", "mien_models")),
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
