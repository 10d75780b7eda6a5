"""Tests that run each program of `examples` as a reader does, against real servers."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from PIL import Image

from mien_orchestrator.edge.auth.tokens import token_line
from mien_orchestrator.edge.server import Server
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from tests.certificates import Authority
from tests.envoy import envoy
from tests.servers import Running

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PHOTO = EXAMPLES / "astronaut.jpg"
SETTINGS = {"server.port": 0, "server.drain_s": 0}


def run(program: str, *arguments: str | Path, fails: bool = False, **variables: str) -> str:
    """Run an example; return what it printed, or the error if it must fail."""
    ended = subprocess.run(
        [sys.executable, EXAMPLES / program, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | variables,
    )
    assert (ended.returncode != 0) == fails, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr if fails else ended.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a portrait, an image without a face and a file that is not an image."""
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(PHOTO, folder / "a.jpg")
    Image.new("RGB", (64, 64)).save(folder / "black.png")
    (folder / "text.jpg").write_text("not an image")
    return folder


def test_the_synchronous_client_prints_one_line_per_face(single: str, folder: Path) -> None:
    assert re.fullmatch(r"\d+ years \(\d+-\d+\), female \d+%, happy\n", run("sync_client.py", single, PHOTO))
    assert run("sync_client.py", single, folder / "black.png") == "no face\n"


def test_local_mode_annotates_a_photograph(tmp_path: Path) -> None:
    assert "female" in run("local_mode.py", PHOTO, tmp_path / "out.png", MIEN_SERVER="127.0.0.1:1")
    with Image.open(tmp_path / "out.png") as drawn, Image.open(PHOTO) as photo:
        assert drawn.size == photo.size
        assert drawn.tobytes() != photo.convert("RGB").tobytes()


def test_the_asyncio_client_prints_results_in_order(single: str, folder: Path) -> None:
    photos = [PHOTO, folder / "black.png", folder / "a.jpg"]
    headings = re.findall(r"^(.+): (\d) faces?", run("async_client.py", single, *photos), re.MULTILINE)
    assert headings == [(str(path), count) for path, count in zip(photos, "101", strict=True)]


def test_a_folder_becomes_a_table_with_its_errors(single: str, folder: Path, tmp_path: Path) -> None:
    run("folder.py", single, folder, tmp_path / "faces.csv")
    with (tmp_path / "faces.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], row["gender"], bool(row["error"])) for row in rows] == [
        ("a.jpg", "female", False),
        ("text.jpg", "", True),
    ]


def test_a_program_starts_and_stops_its_own_server() -> None:
    printed = run("server.py", PHOTO, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert "age: mien-age-gender" in printed
    assert "female" in printed


def test_a_token_is_sent_and_its_absence_explained(running: Running, service: FaceAnalysis, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(token_line("phone", "mien_secret") + "\n")
    with running(service, Settings.load(SETTINGS | {"auth.token_file": tmp_path / "tokens"})) as address:
        assert "female" in run("tokens.py", address, PHOTO, MIEN_TOKEN="mien_secret")
        assert run("tokens.py", address, PHOTO, fails=True, MIEN_TOKEN="").startswith("TOKEN_MISSING: ")
        assert run("tokens.py", address, PHOTO, fails=True, MIEN_TOKEN="mien_old").startswith("TOKEN_UNKNOWN: ")


def test_mutual_tls_admits_the_client(
    running: Running, service: FaceAnalysis, authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.issue("server")
    tls = {"tls.certificate": certificate, "tls.key": key, "tls.client_ca": authority.ca}
    with running(service, Settings.load(SETTINGS | tls)) as address:
        assert "female" in run("tls.py", address, PHOTO, authority.ca, *authority.issue("client", "client.test"))


def test_frames_are_analyzed_as_arrays(single: str) -> None:
    """The frames begin 8 pixels further to the right each, so the face is as much further to the left."""
    places = [int(x) for x in re.findall(r"^frame \d: happy at x = (\d+)$", run("raw_arrays.py", single, PHOTO), re.M)]
    assert len(places) == 5
    assert places[0] - places[-1] == pytest.approx(4 * 8, abs=8)


def test_each_failure_is_reported_for_its_photograph(single: str, folder: Path) -> None:
    photos = [PHOTO, folder / "text.jpg", folder / "missing.jpg"]
    lines = [line.partition(": ")[2] for line in run("error_handling.py", single, *photos).splitlines()]
    assert lines[0] == "1 faces"
    assert lines[1].startswith("skipped: IMAGE_UNDECODABLE: ")
    assert lines[2].startswith("skipped: IMAGE_UNREADABLE: ")


def test_an_absent_server_is_reported() -> None:
    assert ": later: " in run("error_handling.py", "127.0.0.1:1", PHOTO)


def test_the_timing_tree_marks_the_critical_path(single: str) -> None:
    lines = run("timing_tree.py", single, PHOTO).splitlines()
    steps = {line[1:].split()[0]: line.startswith("*") for line in lines[1:]}
    assert {"total", "decode", "detect", "crop", "tasks", "age", "gender", "emotion", "merge"} <= set(steps)
    assert steps["decode"]
    assert steps["age"] or steps["gender"] or steps["emotion"]


def test_a_client_in_node_reads_the_shipped_protos(single: str, folder: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    if not (EXAMPLES / "node" / "node_modules").is_dir():
        pytest.skip("its packages are not installed: npm ci --prefix examples/node")
    protos = subprocess.check_output([sys.executable, "-m", "mien.protos"], text=True).split()

    def call(photo: Path) -> subprocess.CompletedProcess[str]:
        command = [node, EXAMPLES / "node" / "client.mjs", single, photo, *protos]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    analyzed, refused = call(PHOTO), call(folder / "text.jpg")
    assert analyzed.returncode == 0, analyzed.stderr
    assert re.fullmatch(r"\(\d+, \d+\) \d+ GENDER_VALUE_FEMALE happy\n", analyzed.stdout)
    assert refused.returncode == 1
    assert refused.stderr.startswith("INVALID_ARGUMENT: ")


def test_curl_prints_the_reply_or_the_error_as_json(single_server: Server, folder: Path) -> None:
    def call(photo: Path, *options: str) -> subprocess.CompletedProcess[str]:
        command = ["sh", EXAMPLES / "curl.sh", single_server.http_address, photo, *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    analyzed, refused = call(PHOTO, "tasks=age"), call(folder / "text.jpg")
    assert (analyzed.returncode, refused.returncode) == (0, 22)
    assert [task["task"] for task in json.loads(analyzed.stdout)["tasks"]] == ["age"]
    assert json.loads(refused.stdout)["details"][0]["reason"] == "IMAGE_UNDECODABLE"


@pytest.fixture(scope="module")
def typescript(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Node.js, and the compiled example in TypeScript."""
    node, packages = shutil.which("node"), EXAMPLES / "typescript" / "node_modules"
    if node is None:
        pytest.skip("Node.js is not installed")
    if not packages.is_dir():
        pytest.skip("its packages are not installed: npm ci --prefix examples/typescript")
    folder, workspace = (tmp_path_factory.mktemp(name) for name in ("typescript", "workspace"))
    shutil.copytree(EXAMPLES / "typescript" / "src", folder / "src", ignore=shutil.ignore_patterns("gen"))
    for name in ("package.json", "tsconfig.json"):
        shutil.copy(EXAMPLES / "typescript" / name, folder)
    (folder / "node_modules").symlink_to(packages)
    subprocess.run([sys.executable, ROOT / "protos" / "workspace.py", workspace], check=True)
    generate = [Path(sys.executable).parent / "buf", "generate", "--include-imports", "--output", folder]
    paths = os.pathsep.join([str(packages / ".bin"), os.environ["PATH"]])
    template = ROOT / "protos" / "buf.gen.yaml"
    subprocess.run([*generate, "--template", template], cwd=workspace, env={**os.environ, "PATH": paths}, check=True)
    subprocess.run([node, packages / "typescript" / "bin" / "tsc"], cwd=folder, check=True)
    return node, folder / "dist" / "client.js"


@pytest.mark.parametrize("web", [False, True], ids=["grpc", "grpc-web"])
def test_a_client_in_typescript_calls_over_grpc_and_grpc_web(
    single_server: Server, typescript: tuple[str, Path], folder: Path, tmp_path: Path, web: bool
) -> None:
    def call(url: str, photo: Path) -> subprocess.CompletedProcess[str]:
        command = [*typescript, url, photo, *(["web"] if web else [])]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    with ExitStack() as stack:
        url = f"http://{single_server.address}"
        if web:
            url = stack.enter_context(envoy(single_server.address, single_server.http_address, tmp_path))
        analyzed, refused = call(url, PHOTO), call(url, folder / "text.jpg")
    assert analyzed.returncode == 0, analyzed.stderr
    assert re.fullmatch(r"\(\d+, \d+\) \d+ FEMALE happy\n", analyzed.stdout)
    assert refused.returncode == 1
    assert refused.stderr.startswith("InvalidArgument IMAGE_UNDECODABLE: ")


def test_every_example_is_listed_in_the_readme() -> None:
    programs = {path.name for path in EXAMPLES.glob("*.py")} | {
        "curl.sh",
        "node/client.mjs",
        "typescript/src/client.ts",
    }
    assert set(re.findall(r"^\| \[`([\w/.]+)`\]", (EXAMPLES / "README.md").read_text(), re.MULTILINE)) == programs
