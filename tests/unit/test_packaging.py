"""Tests of the package's metadata and of the versions that several files repeat."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

import mien
from mien.protos import include_paths

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SHIPPED = ("local", "heic", "serve", "jwt", "otel", "torch", "train")
BOUND = re.compile(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)")


def release(version: str) -> tuple[int, ...]:
    """Return a version's numbers without trailing zeros: (2,) for 2.0.0."""
    numbers = tuple(int(number) for number in version.split("."))
    return release(version.rpartition(".")[0]) if len(numbers) > 1 and numbers[-1] == 0 else numbers


def test_the_protos_compile_with_the_printed_options(tmp_path: Path) -> None:
    options = subprocess.check_output([sys.executable, "-m", "mien.protos"], text=True).split()
    protos = [str(path.relative_to(include_paths()[0])) for path in include_paths()[0].rglob("v1/*.proto")]
    command = [sys.executable, "-m", "grpc_tools.protoc", *options, f"--python_out={tmp_path}", *protos]
    subprocess.run(command, check=True, cwd=tmp_path)
    assert (tmp_path / "mien" / "v1" / "face_service_pb2.py").is_file()


def test_every_file_that_repeats_the_version_has_the_current_one() -> None:
    images = [
        image["newTag"].rpartition("-")[0]
        for path in sorted((ROOT / "deploy" / "k8s" / "overlays").glob("*/kustomization.yaml"))
        for image in yaml.safe_load(path.read_text()).get("images", [])
    ]
    text = "".join((ROOT / name).read_text() for name in ("deploy/Dockerfile", "docs/deploy.md"))
    named = re.findall(r"mien:([\d.]+)-\w+|image\.version=\"([\d.]+)\"", text)
    assert images
    assert named
    assert {*images, *(tag or label for tag, label in named)} == {mien.__version__}


def test_the_lowest_constraints_are_the_declared_lower_bounds() -> None:
    """Unless a dependency of Mien's itself needs a newer version of another."""
    lines = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    lowest = dict(line.split("==") for line in lines if "==" in line)
    extras = PROJECT["optional-dependencies"]
    declared = BOUND.findall(
        "\n".join([*PROJECT["dependencies"], *(item for extra in SHIPPED for item in extras[extra])])
    )
    assert len(declared) > 15
    wrong = {name: lowest[name] for name, bound in declared if release(lowest[name]) != release(bound)}
    assert wrong == {}, "run `make lowest`, and raise the bounds in pyproject.toml to what it resolved"
