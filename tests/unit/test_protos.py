"""The generated stubs are those of the committed protos, and the protos keep the project's rules."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from generate import generate

ROOT = Path(__file__).parents[2]
PROTOS = sorted((ROOT / "protos").rglob("*.proto"))
STUBS = ROOT / "client" / "mien" / "v1"


def test_generated_stubs_are_current(tmp_path: Path) -> None:
    generate(tmp_path)
    made = {path.name: path.read_text() for path in (tmp_path / "mien" / "v1").iterdir()}
    committed = {path.name: path.read_text() for path in STUBS.glob("*_pb2*")}
    assert made == committed, "run `make protos`"


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
