"""Tests that the generated stubs are current and the protos keep the project's rules."""

import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor

from generate import OPEN_INFERENCE, generate, generate_descriptors
from mien.v1.face_service_pb2 import AnalyzeRequest
from mien.worker.v1.worker_pb2 import Array

ROOT = Path(__file__).parents[2]
PROTOS = sorted((ROOT / "protos").rglob("*.proto"))
STUBS = ROOT / "client" / "mien" / "v1"


def test_generated_stubs_are_current(tmp_path: Path) -> None:
    generate(tmp_path)
    made = {path.name: path.read_text() for path in (tmp_path / "mien" / "v1").iterdir()}
    committed = {path.name: path.read_text() for path in STUBS.glob("*_pb2*")}
    assert made == committed, "run `make protos`"


def test_the_descriptors_of_the_open_inference_protocol_are_current(tmp_path: Path) -> None:
    generate_descriptors(tmp_path / "made")
    assert (tmp_path / "made").read_bytes() == OPEN_INFERENCE.with_suffix(".binpb").read_bytes(), "run `make protos`"


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: path.name)
def test_every_field_message_and_call_is_described(path: Path) -> None:
    lines = path.read_text().splitlines()
    described = re.compile(r"^\s*(message|service|enum|rpc|[\w.<>, ]+ \w+ = \d+;|[A-Z_]+ = \d+;)")
    bare = [
        line.strip()
        for before, line in pairwise(lines)
        if described.match(line) and not line.startswith("import") and not before.strip().startswith("//")
    ]
    assert bare == []


def test_images_and_crops_are_bytes_fields() -> None:
    """Neither text of them nor a list of numbers: encoding and parsing those takes longer than the models."""
    for message, field in ((AnalyzeRequest, "image"), (Array, "data")):
        assert message.DESCRIPTOR.fields_by_name[field].type == FieldDescriptor.TYPE_BYTES
    request = AnalyzeRequest(image=bytes(range(256)) * 40)
    assert len(request.SerializeToString()) - len(request.image) < 8


def test_the_protos_follow_bufs_standard_rules() -> None:
    subprocess.run([sys.executable, ROOT / "protos" / "check.py"], check=True)


def test_a_change_that_breaks_callers_is_found(tmp_path: Path) -> None:
    """In a repository whose last commit has another type for a field."""
    copy = tmp_path / "protos"
    shutil.copytree(ROOT / "protos", copy)
    face = copy / "mien" / "v1" / "face.proto"
    now = face.read_text()
    face.write_text(now.replace("float years = 1;", "string years = 1;"))
    git = ["git", "-C", tmp_path, "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "then"]):
        subprocess.run([*git, *words], check=True)
    face.write_text(now)
    check = [sys.executable, copy / "check.py", "--against", "HEAD"]
    result = subprocess.run(check, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert 'name "years" on message "Age" changed type' in result.stdout
