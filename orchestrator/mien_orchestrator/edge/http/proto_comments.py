"""Read the comments of messages, fields and enums in the `.proto` files, which generated code does not keep."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from mien.protos import include_paths

_OPENS = re.compile(r"(?:message|enum|service|oneof) (\w+) \{")
_MEMBER = re.compile(r"(?:rpc (\w+)|.*?(\w+) = \d+;)")


def comments() -> Mapping[str, str]:
    """Return the comment of each definition by its name: `mien.v1.Face`, `mien.v1.Face.box`."""
    folder = include_paths()[0] / "mien" / "v1"
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.proto")):
        found |= _of_file(path)
    return found


def _of_file(path: Path) -> Mapping[str, str]:
    return dict(_named(line.strip() for line in path.read_text(encoding="utf-8").splitlines()))


def _named(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    scope: list[str] = ["mien.v1"]
    comment: list[str] = []
    for line in lines:
        if line.startswith("//"):
            comment.append(line.removeprefix("//").strip())
            continue
        opened, member = _OPENS.match(line), _MEMBER.match(line)
        name = opened[1] if opened else (member[1] or member[2]) if member else None
        if name and comment:
            yield ".".join([*(part for part in scope if part), name]), " ".join(comment)
        if opened and not line.endswith("}"):
            scope.append("" if line.startswith("oneof") else opened[1])  # its fields belong to the message
        elif line == "}":
            scope.pop()
        comment = []
