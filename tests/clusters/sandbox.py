"""A sandbox for a whole Ray cluster: private processes, network and Ray folder, removed at its end."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from mien_orchestrator.cluster.local import SWITCHES

ROOT = Path(__file__).parents[2]

# The shell stays, as the process that reaps what Ray leaves behind.
_ENTER = """
ip link set lo up
hostname localhost
mkdir -p /tmp/ray
mount --bind "$SANDBOX_RAY" /tmp/ray
"$@"
exit $?
"""


def run(scenario: str, folder: Path, *, timeout: float) -> dict[str, Any]:
    """Run `tests.clusters.SCENARIO` in private namespaces; return the results that it writes. Needs root."""
    out = folder / f"{scenario}.json"
    (folder / "ray").mkdir()
    environment = {
        **os.environ,
        **SWITCHES,
        "HOME": str(folder),  # Ray enables tokens if the user has one
        "SANDBOX_RAY": str(folder / "ray"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--net", "--uts", "--mount"]
    result = subprocess.run(
        [*command, "bash", "-ec", _ENTER, "bash", sys.executable, "-m", f"tests.clusters.{scenario}", out],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
    figures: dict[str, Any] = json.loads(out.read_text())
    return figures
