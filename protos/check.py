"""Lint the protos with buf, and compare them with those of an earlier commit: python protos/check.py [--against REF]"""

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from workspace import PROTOS, lay_out


def main() -> int:
    """Run `buf lint`, and with --against `buf breaking`; return buf's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", help="Commit or tag whose protos must stay compatible (rules FILE).")
    against = parser.parse_args().against
    with TemporaryDirectory() as folder:
        workspace = lay_out(PROTOS, Path(folder) / "now")
        if code := buf("lint", workspace):
            return code
        if not against:
            print("protos: no earlier release to compare with; give one with --against")
            return 0
        earlier = lay_out(extract(against, Path(folder) / "earlier"), Path(folder) / "then")
        return buf("breaking", workspace, "--against", earlier)


def buf(command: str, workspace: Path, *words: str | Path) -> int:
    """Run buf, whose binary comes with the package buf-bin; return its exit code."""
    binary = Path(sys.executable).parent / "buf"
    return subprocess.run([binary, command, *words], cwd=workspace, check=False).returncode


def extract(ref: str, folder: Path) -> Path:
    """Return the folder of a commit's protos."""
    folder.mkdir()
    command = ["git", "archive", ref, "protos"]
    archive = subprocess.run(command, cwd=PROTOS.parent, stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["tar", "--extract", "--directory", folder], input=archive, check=True)
    return folder / "protos"


if __name__ == "__main__":
    sys.exit(main())
