"""Lay out a buf workspace, with the protos that ours import beside them: python protos/workspace.py FOLDER"""

import shutil
import sys
from pathlib import Path

import google.rpc

PROTOS = Path(__file__).parent
_IMPORTED = ("google/rpc/status.proto", "google/rpc/error_details.proto")
"""What ours import, and what the details of errors are."""


def lay_out(protos: Path, workspace: Path) -> Path:
    """Copy the protos and those that they import into a buf workspace; return it.

    Args:
        protos: A folder of Mien's protos, of this or an earlier version.
        workspace: The folder to make; it must not have been laid out before.

    """
    shutil.copytree(protos, workspace / "protos", ignore=lambda _, names: [n for n in names if n.endswith(".py")])
    for configuration in workspace.glob("protos/buf*.yaml"):
        configuration.unlink()
    shutil.copy(PROTOS / "buf.yaml", workspace / "buf.yaml")
    installed = Path(next(iter(google.rpc.__path__))).parents[1]
    for name in _IMPORTED:
        target = workspace / "google" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(installed / name, target)
    return workspace


if __name__ == "__main__":
    lay_out(PROTOS, Path(sys.argv[1]))
