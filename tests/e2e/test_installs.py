"""Tests of each way to install Mien, in separate environments."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.photographs import EXAMPLE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def install(folder: Path, extra: str) -> Path:
    """Make an environment with `mien` and an extra in it, from a wheel, and return its folder of commands."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--constraint", ROOT / "constraints.txt", f"{ROOT}{extra}"], check=True, timeout=280)
    return folder / "bin"


def test_the_sdk_alone_calls_a_server_and_reports_missing_packages(tmp_path: Path, single: str) -> None:
    commands = install(tmp_path / "sdk", "")
    lacking = "import importlib.util as u; print([n for n in ('cv2', 'onnxruntime', 'torch', 'ray') if u.find_spec(n)])"
    assert subprocess.check_output([commands / "python", "-c", lacking], text=True).strip() == "[]"
    remote = subprocess.run(
        [commands / "client", "analyze", EXAMPLE, "--server", single], capture_output=True, text=True
    )
    assert remote.returncode == 0, remote.stderr
    assert "female" in remote.stdout
    alone = subprocess.run([commands / "client", "analyze", EXAMPLE], capture_output=True, text=True)
    assert alone.returncode == 2
    assert "pip install 'mien[local]'" in alone.stderr
    assert "Traceback" not in alone.stderr
    typed = [sys.executable, "-m", "mypy", "--strict", "--python-executable", commands / "python"]
    program = "import mien; name: str = mien.Client.local().models()[0].name"
    checked = subprocess.run([*typed, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
    compile_protos(commands, tmp_path)
    metadata = "import importlib.metadata as m, json; print(json.dumps(m.metadata('mien').json))"
    described = json.loads(subprocess.check_output([commands / "python", "-c", metadata], text=True))
    assert {url.partition(",")[0] for url in described["project_url"]} >= {"Homepage", "Changelog", "Issues"}
    packages = ("mien", "mien_models", "mien_orchestrator", "mien_training", "mien_workers")
    folder = next((tmp_path / "sdk" / "lib").glob("python*/site-packages"))
    assert [name for name in packages if not (folder / name / "py.typed").is_file()] == []


def compile_protos(commands: Path, folder: Path) -> None:
    """Compile the wheel's protos with this environment's protoc, as a client in another language does."""
    options = subprocess.check_output([commands / "python", "-m", "mien.protos"], text=True, cwd=folder).split()
    assert all(str(commands.parent) in option for option in options)
    protos = ["mien/v1/face.proto", "mien/v1/face_service.proto"]
    protoc = [sys.executable, "-m", "grpc_tools.protoc", *options, f"--python_out={folder}", *protos]
    subprocess.run(protoc, check=True, cwd=folder)
    assert (folder / "mien" / "v1" / "face_service_pb2.py").is_file()


def test_the_embedded_engine_works_from_a_wheel_without_torch_and_ray(tmp_path: Path) -> None:
    commands = install(tmp_path / "local", "[local]")
    lacking = "import importlib.util as u; print([n for n in ('torch', 'ray', 'onnx') if u.find_spec(n)])"
    assert subprocess.check_output([commands / "python", "-c", lacking], text=True).strip() == "[]"
    result = subprocess.run([commands / "client", "analyze", EXAMPLE], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "happy" in result.stdout
    served = subprocess.run([commands / "mien", "serve"], capture_output=True, text=True, cwd=tmp_path)
    assert served.returncode == 2
    assert "pip install 'mien[serve]'" in served.stderr
