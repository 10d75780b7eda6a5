"""Tests of local mode: chosen explicitly, configured, loaded without blocking the event loop."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

import mien
from mien.transport import local
from mien_orchestrator.embedded import EmbeddedService
from mien_orchestrator.settings import Settings
from tests.photographs import EXAMPLE


def test_local_mode_ignores_the_environments_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_SERVER", "127.0.0.1:1")
    with mien.Client.local() as client:
        assert len(client.analyze(EXAMPLE).faces) == 1


async def test_settings_are_a_mapping_or_an_object() -> None:
    with mien.Client.local({"detector.name": "haar"}) as client:
        assert client.server_info().detector.name == "haar"
    async with mien.AsyncClient.local(Settings.load({"detector.name": "haar"})) as twin:
        assert (await twin.server_info()).detector.name == "haar"


async def test_an_invalid_setting_is_an_invalid_request() -> None:
    with pytest.raises(mien.InvalidRequestError, match="nose") as caught:
        mien.Client.local({"nose": 1})
    assert caught.value.reason == "SETTINGS_WRONG"
    with pytest.raises(mien.InvalidRequestError, match="MIEN_CONFIG names a settings file"):
        mien.Client.local("settings.yaml")  # type: ignore[arg-type]
    async with mien.AsyncClient.local({"nose": 1}) as client:
        for _ in range(2):
            with pytest.raises(mien.InvalidRequestError, match="nose"):
                await client.server_info()


@pytest.mark.parametrize("server", ["", " ", ",", [], [""]])
def test_an_empty_address_is_an_error_not_local_mode(server: str | list[str]) -> None:
    for make in (mien.Client, mien.AsyncClient):
        with pytest.raises(mien.InvalidRequestError, match=r"empty .*Client\.local\(\)"):
            make(server)


def test_an_empty_variable_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_SERVER", "")
    with mien.Client() as client:
        assert client.server_info().tasks == ("age", "gender", "emotion")


STALL = """
import asyncio, json, sys, time
import mien

async def main():
    stalls, running = [], True
    async def beat():
        last = time.perf_counter()
        while running:
            await asyncio.sleep(0)
            now = time.perf_counter()
            stalls.append(now - last)
            last = now
    beats = asyncio.create_task(beat())
    await asyncio.sleep(0)
    began = time.perf_counter()
    client = mien.AsyncClient()
    constructed = time.perf_counter() - began
    await client.server_info()
    loaded = time.perf_counter() - began
    running = False
    await beats
    await client.close()
    print(json.dumps({"constructed": constructed, "loaded": loaded, "stall": max(stalls)}))

asyncio.run(main())
"""


def test_loading_the_models_does_not_block_the_event_loop() -> None:
    result = subprocess.run([sys.executable, "-c", STALL], capture_output=True, text=True, timeout=120)
    times = json.loads(result.stdout)
    assert times["constructed"] < times["loaded"] / 20
    assert times["stall"] < times["loaded"] / 3  # what is left is the interpreter's lock while libraries are loaded


async def test_many_first_calls_at_once_load_the_models_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loads, start = [], local._start

    def counted(settings: local.LocalSettings) -> EmbeddedService:
        loads.append(settings)
        return start(settings)

    monkeypatch.setattr(local, "_start", counted)
    async with mien.AsyncClient.local() as client:
        analyses = await asyncio.gather(*(client.analyze(EXAMPLE) for _ in range(20)))
    assert len(loads) == 1
    boxes = {analysis.faces[0].box for analysis in analyses}
    ages = [analysis.faces[0].age.years for analysis in analyses if analysis.faces[0].age]
    assert len(boxes) == 1
    assert ages == pytest.approx([ages[0]] * len(analyses), abs=1e-3)


@pytest.mark.parametrize("package", ["cv2", "onnxruntime"])
def test_missing_packages_are_reported(tmp_path: Path, package: str) -> None:
    (tmp_path / f"{package}.py").write_text(f"raise ImportError('missing', name={package!r})")
    code = """
import asyncio, mien
for call in (mien.Client, lambda: asyncio.run(mien.AsyncClient.local().server_info())):
    try:
        call()
    except mien.EmbeddedUnavailableError as error:
        print(error)
"""
    path = ":".join([str(tmp_path), *sys.path])
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env={"PYTHONPATH": path}
    )
    lines = result.stdout.splitlines()
    assert len(lines) == 2, result
    assert all(f"needs the package {package!r}: pip install 'mien[local]'" in line for line in lines)
