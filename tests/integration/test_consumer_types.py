"""Tests that `mypy --strict` accepts a program with the SDK and rejects misuse."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

GOOD = """
import asyncio
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import mien
import numpy as np
from PIL import Image


def describe(face: mien.Face) -> str:
    age: float | None = face.age.years if face.age else None
    gender: str = face.gender.value if face.gender else ""
    return f"{age} {gender} {face.emotion.label if face.emotion else ''} {face.mood.valence if face.mood else ''}"


def sync(client: mien.Client) -> Sequence[str]:
    analysis: mien.Analysis = client.analyze("photo.jpg", tasks=["age", "gender"], max_faces=None, timeout=5)
    client.analyze(Path("photo.jpg"), all_or_nothing=True, request_id="a", metadata={"x-tenant": "b"})
    client.analyze(b"")
    client.analyze(bytearray())
    client.analyze(memoryview(b""))
    client.analyze(np.zeros((4, 4, 3), np.uint8))
    client.analyze(Image.new("RGB", (4, 4)))
    client.analyze(io.BytesIO())
    with open("photo.jpg", "rb") as file:
        client.analyze(file)
    request_id: str = analysis.request_id
    names: list[str] = [model.name for model in client.models()]
    card: mien.ModelCard = client.model_card(names[0])
    limit: int = client.server_info().max_image_bytes
    drawn: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = mien.draw("photo.jpg", analysis)
    return [request_id, card.markdown, str(limit), str(drawn.shape), *map(describe, analysis.faces)]


async def twin() -> mien.ServerInfo:
    async with mien.AsyncClient.local({"detector.name": "haar"}, timeout=3) as client:
        await client.analyze("photo.jpg", tasks=("emotion",))
        return await client.server_info()


def main(server: str, metadata: Mapping[str, str]) -> None:
    with mien.Client(server, tls=mien.Tls(ca="ca.pem"), token="t", metadata=metadata) as client:
        try:
            sync(client)
        except mien.OverloadedError as error:
            wait: float | None = error.retry_after
            print(wait, error.reason, error.request_id)
        except mien.MienError as failed:
            print(failed.message, failed.code)
    with mien.Client([server, server]) as client:
        sync(client)
    asyncio.run(twin())
"""

BAD = """
import mien

client = mien.Client(50051)
client.analyze("photo.jpg", tasks=["nose"])
client.analyze("photo.jpg", max_faces="3")
client.analyze(3.5)
client.analyse("photo.jpg")
text: int = client.analyze("photo.jpg").request_id
"""


def checked(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(program)
    sources = os.pathsep.join(str(ROOT / name) for name in ("client", "models", "orchestrator", "workers"))
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file=", "program.py"]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=280, cwd=folder, env=os.environ | {"MYPYPATH": sources}
    )


@pytest.mark.slow
def test_a_program_with_the_sdk_is_typed(tmp_path: Path) -> None:
    good = checked(tmp_path, GOOD)
    assert good.returncode == 0, good.stdout
    bad = checked(tmp_path, BAD)
    wrong = [line for line in bad.stdout.splitlines() if ": error: " in line]
    assert [int(line.split(":")[1]) for line in wrong] == [4, 5, 6, 7, 8, 9], bad.stdout
