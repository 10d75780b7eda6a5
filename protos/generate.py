"""Generate the stubs of every proto, typed for mypy: python protos/generate.py client"""

import os
import subprocess
import sys
from pathlib import Path

import google.rpc

PROTOS = Path(__file__).parent

OPEN_INFERENCE = PROTOS.parent / "orchestrator/mien_orchestrator/edge/open_inference/open_inference.proto"
"""A protocol of others, which is compiled into a descriptor set beside it."""


def generate(out: Path) -> None:
    """Write the stubs under `out`, in folders as the protos have them; raises `CalledProcessError`."""
    google_protos = Path(next(iter(google.rpc.__path__))).parents[1]
    outputs = [f"--{kind}_out={out}" for kind in ("python", "grpc_python")]
    typed = [f"--{kind}_out=quiet:{out}" for kind in ("mypy", "mypy_grpc")]
    sources = [str(path) for path in sorted(PROTOS.rglob("*.proto"))]
    includes = [f"-I{PROTOS}", f"-I{google_protos}"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # finds mypy's plugins
    command = [sys.executable, "-m", "grpc_tools.protoc", *includes, *outputs, *typed, *sources]
    subprocess.run(command, check=True, env={**os.environ, "PATH": path})


def generate_descriptors(target: Path) -> None:
    """Write the descriptor set of the Open Inference Protocol; raises `CalledProcessError`."""
    options = [f"-I{OPEN_INFERENCE.parent}", f"--descriptor_set_out={target}", OPEN_INFERENCE.name]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options], check=True)


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
    generate_descriptors(OPEN_INFERENCE.with_suffix(".binpb"))
