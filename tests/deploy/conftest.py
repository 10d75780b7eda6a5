"""Fixtures: every overlay, rendered once, and the custom resource definitions."""

import shutil
from pathlib import Path

import pytest

from tests.deploy.manifests import OVERLAYS, Manifest, render
from tests.deploy.schemas import CustomKinds


@pytest.fixture(scope="session")
def rendered() -> dict[str, list[Manifest]]:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl renders the manifests (no cluster needed): install Debian's kubernetes-client")
    return {overlay: render(overlay) for overlay in OVERLAYS}


@pytest.fixture(params=OVERLAYS)
def documents(request: pytest.FixtureRequest, rendered: dict[str, list[Manifest]]) -> list[Manifest]:
    """The documents of each overlay in turn."""
    return rendered[request.param]


@pytest.fixture(scope="session")
def custom_kinds(shared: Path) -> CustomKinds:
    return CustomKinds(shared / "crds")
