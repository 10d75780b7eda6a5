"""Tests of the container image: both modes, read-only, unprivileged; its contents and size."""

import pytest

import mien
from tests.image.conftest import Serving
from tests.photographs import EXAMPLE

pytestmark = pytest.mark.timeout(2400)  # the first test waits for the image


MODES = {
    "single": ["mien", "serve", "--inline", "--host", "0.0.0.0"],
    "cluster": ["mien", "serve", "--host", "0.0.0.0"],
}

LARGEST_MB = 1100


@pytest.mark.parametrize("mode", MODES)
def test_the_image_serves_without_privileges(serving: Serving, mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(*MODES[mode]) as container, mien.Client(container.address) as client:
        assert client.server_info().deployment_mode == mode
        analysis = client.analyze(EXAMPLE)
        assert [face.gender.value for face in analysis.faces if face.gender] == ["female"]
        assert all(task.ok for task in analysis.tasks)
        assert container.run("mien", "health") == "SERVING"
        assert container.run("id", "-u") == "10001"
        capabilities = container.run("grep", "CapEff", "/proc/self/status")
        assert int(capabilities.split()[-1], 16) == 0
        with capsys.disabled():
            print(f"\n{mode}: SERVING {container.seconds:.1f} s after the container's start")


def test_a_login_shell_finds_the_operators_commands(serving: Serving) -> None:
    with serving() as container:
        assert "ray, version" in container.run("bash", "-lc", "ray --version")
        assert "--cluster-name" in container.run("bash", "-lc", "ray kuberay-autoscaler --help")
        container.run("bash", "-lc", "python -c 'from ray._private.gcs_utils import cleanup_redis_storage'")


def test_the_image_has_no_build_tools(serving: Serving) -> None:
    with serving() as container:
        assert container.run("sh", "-c", "ls /opt/venv/bin | grep -c '^pip' || true") == "0"
        assert container.run("sh", "-c", "command -v gcc cc make || true") == ""


def test_the_image_size_is_bounded(layers: list[tuple[float, str]], capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print("".join(f"\n{size:8.1f} MB  {made_by[:90]}" for size, made_by in layers))
        print(f"{sum(size for size, _ in layers):8.1f} MB  in all")
    assert sum(size for size, _ in layers) < LARGEST_MB
