"""Tests of the command `mien models`, run as a subprocess."""

import hashlib
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from mien_models.catalog import find
from mien_training.detection.recipes import DETECTION_RECIPES
from mien_training.detection.run import DetectionRun
from tests.conftest import ROOT
from tests.face_zips import write_faces, write_photographs
from tests.file_server import serve_folder
from tests.keras_files import write_ssrnet
from tests.servers import free_port

BIN = Path(sys.executable).parent
EMOTION_HERE = "mini-xception-emotion"
AGE, EMOTION = "ssrnet-age-wiki-published", "mini-xception-emotion-published"
FILES = {AGE: "ssrnet_age_wiki.h5", EMOTION: "fer2013_mini_XCEPTION.102-0.66.hdf5", "yunet": "yunet_n_320_320.onnx"}


def run(command: str, *words: str | Path, store: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "MIEN_MODEL_STORE": str(store), **environment}
    return subprocess.run([BIN / command, *words], capture_output=True, text=True, env=variables, timeout=120)


def models(*words: str | Path, store: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run("mien", "models", *words, store=store, **environment)


def without(folder: Path, *packages: str) -> str:
    """Return a PYTHONPATH on which these packages are missing."""
    for package in packages:  # a module that fails as a missing one does, found before the real one
        (folder / f"{package}.py").write_text(f"raise ModuleNotFoundError('No module', name={package!r})\n")
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def test_an_empty_store_lists_shipped_and_published_models(tmp_path: Path) -> None:
    result = models("list", store=tmp_path / "none")
    assert result.returncode == 0
    installed, _, published = result.stdout.partition("published, for `mien models fetch NAME`")
    assert "mien-emotion" in installed
    assert AGE in published
    assert "yunet" in published
    assert not (tmp_path / "none").exists()


def test_an_imported_model_is_listed_and_shown(tmp_path: Path) -> None:
    own = write_ssrnet(tmp_path / "own.h5")
    result = models("import", own, "--as", AGE, "--any-file", store=tmp_path)
    assert result.returncode == 0
    assert result.stdout == f"{AGE} is in {tmp_path / AGE}.onnx\n"
    assert result.stderr == ""
    result = models("list", store=tmp_path, MIEN_TASKS__AGE__MODEL=AGE)
    assert AGE in result.stdout.partition("published, for")[0]
    assert AGE not in result.stdout.partition("published, for")[2]
    result = models("show", AGE, store=tmp_path)
    for fact in ("40,531", "64 x 64 pixels, bgr", str(tmp_path / f"{AGE}.onnx"), find(AGE).url, "Apache-2.0"):
        assert fact in result.stdout


def test_show_describes_models_that_are_not_installed(tmp_path: Path) -> None:
    result = models("show", "yunet", store=tmp_path)
    assert result.returncode == 0
    assert find("yunet").sha256 in result.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["show", "nose-net"], 1, "unknown model 'nose-net'; available: mien-age-gender"),
        (["fetch", "nose-net"], 1, "unknown published weights 'nose-net'"),
        (["fetch", AGE, "--url", "http://127.0.0.1:1/net.h5"], 1, "Connection refused"),
        (["import", "{folder}/own.h5", "--as", AGE], 1, "own.h5 is not the file published for"),
        (["import", "{folder}/none.h5", "--as", AGE], 1, "none.h5: No such file"),
        (["import", "{folder}/own.h5"], 2, "Missing option '--as'"),
        (["fetch"], 2, "Missing argument 'NAME'"),
    ],
)
def test_errors_are_short_messages(tmp_path: Path, words: list[str], code: int, message: str) -> None:
    write_ssrnet(tmp_path / "own.h5")
    result = models(*(word.format(folder=tmp_path) for word in words), store=tmp_path / "store")
    assert result.returncode == code, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_an_invalid_setting_is_reported(tmp_path: Path) -> None:
    result = models("list", store=tmp_path, MIEN_SERVER__PORT="many")
    assert result.returncode == 2
    assert "MIEN_SERVER__PORT: Input should be a valid integer" in result.stderr


@pytest.mark.parametrize("package", ["h5py", "torch", "onnx"])
def test_a_missing_package_is_reported_with_the_install_command(tmp_path: Path, package: str) -> None:
    path = without(tmp_path, package)
    own = write_ssrnet(tmp_path / "own.h5")
    result = models("import", own, "--as", AGE, "--any-file", store=tmp_path / "store", PYTHONPATH=path)
    assert result.returncode == 2
    assert result.stderr == f"mien: this command needs the package {package!r}: pip install 'mien[train]'\n"
    assert models("list", store=tmp_path / "store", PYTHONPATH=path).returncode == 0


SERVING = ("grpc_health", "grpc_reflection", "prometheus_client", "ray", "starlette", "uvicorn", "websockets")


def test_listing_models_needs_no_package_of_serving(tmp_path: Path) -> None:
    result = models("list", store=tmp_path / "store", PYTHONPATH=without(tmp_path, *SERVING))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("package", "command", "message"),
    [
        ("grpc_health", ["health"], "a health check needs the package 'grpc_health': pip install 'mien[serve]'"),
        ("prometheus_client", ["serve", "--inline", "--port", "0"], "serving needs the package 'prometheus_client'"),
        ("uvicorn", ["serve", "--inline", "--port", "0", "--http-port", "0"], "HTTP needs the package 'uvicorn'"),
        (
            "ray",
            ["serve", "--port", str(free_port()), "--http-port", str(free_port())],
            "a cluster needs the package 'ray': pip install 'mien[serve]'",
        ),
    ],
)
def test_a_missing_package_of_serving_is_reported_with_its_extra(
    tmp_path: Path, package: str, command: list[str], message: str
) -> None:
    result = run("mien", *command, store=tmp_path / "store", PYTHONPATH=without(tmp_path, package))
    assert (result.returncode, message in result.stderr) == (2, True), result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.shared
def test_fetched_models_analyze_an_image(shared: Path, tmp_path: Path) -> None:
    with serve_folder(shared / "reference") as address:
        for name, file in FILES.items():
            result = models("fetch", name, "--url", f"{address}/{file}", store=tmp_path)
            assert result.returncode == 0, result.stderr
    published = (shared / "reference" / FILES["yunet"]).read_bytes()
    assert hashlib.sha256((tmp_path / find("yunet").file).read_bytes()).digest() == hashlib.sha256(published).digest()
    result = run(
        "client",
        *("analyze", ROOT / "examples" / "astronaut.jpg", "--json"),
        store=tmp_path,
        MIEN_TASKS__AGE__MODEL=AGE,
        MIEN_TASKS__EMOTION__MODEL=EMOTION,
        MIEN_DETECTOR__NAME="yunet",
    )
    (face,) = json.loads(result.stdout)["faces"]
    assert 20 < face["age"]["years"] < 60
    assert face["emotions"][0]["label"] == "happy"


def test_a_model_trained_on_own_faces_is_listed_and_served_from_the_store(tmp_path: Path) -> None:
    data, store = tmp_path / "data", tmp_path / "store"
    write_faces(data / "fer2013.zip", "file,emotion,split", [f"{('happy', 'sad')[i % 2]}" for i in range(6)])
    result = models("train", EMOTION_HERE, "--data", data, "--epochs", "1", store=store)
    assert result.returncode == 0, result.stderr
    line, where = result.stdout.splitlines()
    assert json.loads(line)["epoch"] == 1
    assert where == f"{EMOTION_HERE} is in {store / EMOTION_HERE}.onnx"
    digest = hashlib.sha256((store / f"{EMOTION_HERE}.onnx").read_bytes()).hexdigest()
    assert digest in models("show", EMOTION_HERE, store=store).stdout
    result = run("client", "models", "--json", store=store)
    assert f"sha256:{digest}" in [model["digest"] for model in json.loads(result.stdout)]
    assert sorted(path.name for path in (store / "runs").iterdir()) == [f"{EMOTION_HERE}.jsonl", f"{EMOTION_HERE}.pt"]


@pytest.mark.shared
def test_a_trained_detector_is_served_from_the_store(tmp_path: Path, shared: Path) -> None:
    data, store, runs = tmp_path / "data", tmp_path / "store", tmp_path / "runs"
    write_photographs(data / "detect.zip")
    runs.mkdir()
    finished = DetectionRun(DETECTION_RECIPES["mien"], 1, runs / "mien.pt", 0)
    finished.epoch = 1
    finished.save()
    words = ("train", "mien", "--data", data, "--runs", runs, "--epochs", "1")
    yunet = shared / "reference" / FILES["yunet"]
    assert models("import", yunet, "--as", "yunet", store=store).returncode == 0
    result = models(*words, store=store)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"mien is in {store / 'detectors' / 'mien'}.onnx\n"
    assert models("list", store=store).returncode == 0
    photograph = ROOT / "examples" / "astronaut.jpg"
    result = run("client", "analyze", photograph, "--json", store=store, MIEN_DETECTOR__NAME="mien")
    assert json.loads(result.stdout)["detector"]["name"] == "mien"
    weights = store / "detectors" / "mien.onnx"
    weights.write_bytes(weights.read_bytes()[:-1])
    result = run("client", "analyze", photograph, store=store, MIEN_DETECTOR__NAME="mien")
    assert result.returncode != 0
    assert f"{weights} is damaged" in result.stderr


def test_training_a_detector_without_its_teacher_is_an_error(tmp_path: Path) -> None:
    result = models("train", "mien", "--data", tmp_path, store=tmp_path)
    assert result.returncode == 1
    assert "mien models fetch yunet" in result.stderr


def test_training_reports_missing_data(tmp_path: Path) -> None:
    result = models("train", "emotion-dcn", "--data", tmp_path, store=tmp_path)
    assert result.returncode == 1
    assert "no recipe makes 'emotion-dcn'; there are recipes for: " in result.stderr
    result = models("train", "emotion-dcnn", "--data", tmp_path, store=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith(f"mien: {tmp_path / 'fer2013.zip'} does not exist")
    assert not list(tmp_path.glob("*.json"))


def test_models_without_shipped_weights_are_listed_as_trainable(tmp_path: Path) -> None:
    message = models("list", store=tmp_path).stdout.partition("for `mien models train NAME`")[2]
    assert "emotion-dcnn" in message
    assert "vgg16-age-gender" in message
    assert "mien-emotion" not in message


def test_an_own_onnx_file_is_added_listed_and_served(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about PyTorch's exporter
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten(), torch.nn.Linear(192, 7))
        axes = {name: {0: "n"} for name in ("pixels", "scores")}
        torch.onnx.export(
            net,
            (torch.zeros(1, 3, 64, 64),),
            tmp_path / "my-net.onnx",
            input_names=["pixels"],
            output_names=["scores"],
            dynamic_axes=axes,
            dynamo=False,
        )
    words = ("add", tmp_path / "my-net.onnx", "--task", "emotion", "--shift", "127.5", "--scale", "127.5,127.5,127.5")
    result = models(*words, store=store)
    assert result.returncode == 0, result.stderr
    assert "input 'pixels': (N, C, S, S), 64 x 64 pixels, rgb" in result.stdout
    assert "output 'scores' answers emotion: 7 columns of scores" in result.stdout
    assert f"my-net is in {store / 'my-net.onnx'}" in result.stdout
    assert "predictions for a portrait" in result.stdout
    selected = {"MIEN_TASKS__EMOTION__MODEL": "my-net"}
    (row,) = (line for line in models("list", store=store, **selected).stdout.splitlines() if "my-net" in line)
    assert row.count("emotion") >= 2
    assert "emotion" in models("show", "my-net", store=store, **selected).stdout.partition("in use for")[2]
    response = run("client", "analyze", ROOT / "examples" / "astronaut.jpg", "--json", store=store, **selected)
    assert response.returncode == 0, response.stderr
    (emotion,) = (task for task in json.loads(response.stdout)["tasks"] if task["task"] == "emotion")
    assert emotion["model"]["name"] == "my-net"
    again = models(*words, store=store)
    assert again.returncode == 1
    assert "has a model my-net already" in again.stderr
    assert models(*words, "--replace", store=store).returncode == 0
    assert (
        "--task is one of age, gender, emotion, not 'nose'" in models(*words[:2], "--task", "nose", store=store).stderr
    )


def test_an_invalid_file_in_the_store_is_reported_and_the_rest_serves(tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_text('{"name": "odd"}')
    result = models("list", store=tmp_path)
    assert result.returncode == 0
    assert "mien-emotion" in result.stdout
    assert "detector in use: mien" in result.stdout
    assert result.stderr.count("odd.json is not a model specification: ") == 1
    assert "Traceback" not in result.stderr
