"""The pods of an overlay as containers, with the operator's commands and token and the manifests' limits."""

import json
import secrets
import shlex
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.deploy.manifests import Manifest, cluster, groups
from tests.image.conftest import LIMITS, RESTRICTED

_OPERATORS = {
    "RAY_AUTH_MODE": "token",
    "RAY_GCS_SERVER_REQUEST_TIMEOUT_SECONDS": "5",
    "RAY_SERVE_KV_TIMEOUT_S": "5",
    "RAY_timeout_ms_task_wait_for_death_info": "0",
}
"""Environment that the operator sets for a RayService."""

_START = {"metrics-export-port": "8080", "dashboard-agent-listen-port": "52365"}
_MEBIBYTES = {"Mi": 1, "Gi": 1024}


@dataclass(frozen=True, slots=True)
class Pod:
    """A running pod of one container."""

    name: str
    address: str
    memory_mib: int
    """Its limit."""

    def used_mib(self) -> float:
        """Return the peak memory, page cache included."""
        peak = "cat /sys/fs/cgroup/memory/memory.max_usage_in_bytes || cat /sys/fs/cgroup/memory.peak"
        return int(_podman("exec", self.name, "sh", "-c", f"({peak}) 2>/dev/null")) / 2**20

    def killed_for_memory(self) -> bool:
        """Return whether a process in the pod, or the pod, was killed for lack of memory."""
        state = json.loads(_podman("inspect", self.name))[0]["State"]
        return bool(state["OOMKilled"]) or not state["Running"]


class Pods:
    """The pods of a cluster: the head and one of each group."""

    def __init__(self, token: str, pods: Mapping[str, Pod]) -> None:
        self.token = token
        self.by_group = pods

    def ask(
        self, group: str, port: int, path: str, *, token: str | None = None, put: Manifest | None = None
    ) -> tuple[int, str]:
        """Send an HTTP request to a pod; return the status, 0 without a response, and the body."""
        request = urllib.request.Request(f"http://{self.by_group[group].address}:{port}{path}")
        if token:
            request.add_header("X-Ray-Authorization", f"Bearer {token}")
        if put is not None:
            request.method, request.data = "PUT", json.dumps(put).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""


@contextmanager
def running(image: str, documents: list[Manifest]) -> Iterator[Pods]:
    """Run one pod of each group until the block ends."""
    token, pods = secrets.token_hex(16), dict[str, Pod]()
    with ExitStack() as stack:
        pods["head"] = stack.enter_context(_pod(image, "head", cluster(documents)["headGroupSpec"], token))
        for name, group in groups(documents).items():
            pods[name] = stack.enter_context(_pod(image, name, group, token, head=pods["head"].address))
        yield Pods(token, pods)


@contextmanager
def _pod(image: str, name: str, group: Manifest, token: str, *, head: str | None = None) -> Iterator[Pod]:
    (container,) = group["template"]["spec"]["containers"]
    limits, number = container["resources"]["limits"], container["resources"]["limits"]["memory"]
    memory = int(number[:-2]) * _MEBIBYTES[number[-2:]]
    options = {"num-cpus": limits["cpu"], "memory": str(memory * 2**20), **_START, **group["rayStartParams"]}
    options["labels"] = ",".join(f"{label}={value}" for label, value in group["labels"].items())
    options |= {"address": f"{head}:6379"} if head else {}
    start = ["ray", "start", "--block", *([] if head else ["--head", "--no-monitor"])]
    command = shlex.join([*start, *(f"--{option}={value}" for option, value in options.items())])
    environment = {**_OPERATORS, "RAY_AUTH_TOKEN": token, **{v["name"]: v["value"] for v in container["env"]}}
    full = f"mien-test-{token[:6]}-{name}"
    run = ["--runtime", "runc", "run", "--detach", "--name", full, *LIMITS, *RESTRICTED]
    run += [f"--memory={memory}m", f"--memory-swap={memory}m", f"--shm-size={memory}m", f"--cpus={limits['cpu']}"]
    run += [f"--env={key}={value}" for key, value in environment.items()]
    _podman(*run, image, "/bin/bash", "-lc", "--", command)
    try:
        networks = json.loads(_podman("inspect", full))[0]["NetworkSettings"]["Networks"]
        yield Pod(full, next(iter(networks.values()))["IPAddress"], memory)
    finally:
        print(_podman("logs", "--tail", "5", full))
        _podman("rm", "--force", "--time", "20", full)


def _podman(*arguments: str) -> str:
    result = subprocess.run(["podman", *arguments], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout
