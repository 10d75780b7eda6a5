"""Tests of the Open Inference Protocol with the real tritonclient, and of requests that it would not send."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

import mien
from mien_orchestrator.edge.auth.tokens import token_line
from mien_orchestrator.edge.open_inference import messages
from mien_orchestrator.edge.server import Server
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from tests.http_client import Answer, fetch
from tests.photographs import EXAMPLE
from tests.servers import running_server

ROOT = Path(__file__).parents[2]
IMAGE = EXAMPLE.read_bytes()
TRITONCLIENT = "tritonclient[grpc,http]==2.73.0"


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with tritonclient, whose dependencies are not those of Mien."""
    folder = tmp_path_factory.mktemp("triton")
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", python, TRITONCLIENT], check=True, timeout=280)
    return python


def session(triton: Path, server: Server, *token: str) -> dict[str, Any]:
    command = [triton, ROOT / "tests" / "triton_session.py", server.address, server.http_address, EXAMPLE, *token]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture(scope="module")
def found(triton: Path, single_server: Server) -> dict[str, Any]:
    return session(triton, single_server)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_tritonclient_gets_the_answers_of_the_sdk(protocol: str, found: dict[str, Any], single_server: Server) -> None:
    answers = found[protocol]
    with mien.Client(single_server.address) as client:
        (face,) = client.analyze(IMAGE).faces
    assert all(answers[name] for name in ("live", "ready", "model_ready", "task_ready"))
    assert answers["server"]["name"] == "mien"
    assert answers["metadata"]["inputs"][0]["name"] == "crops"
    faces = answers["mien"]
    assert faces["image_index"] == [0, 1]
    assert faces["ages"] == pytest.approx([face.age.years] * 2)
    assert faces["age_ranges"][1] == pytest.approx([face.age.low, face.age.high])
    assert faces["genders"] == [face.gender.value] * 2
    assert faces["gender_probabilities"] == pytest.approx([face.gender.probability] * 2)
    assert faces["emotions"] == [face.emotion.label] * 2
    by_label = {emotion.label: emotion.probability for emotion in face.emotions}
    labels = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert faces["emotion_probabilities"][0] == pytest.approx([by_label[label] for label in labels])
    assert faces["moods"][0] == pytest.approx([face.mood.valence, face.mood.arousal])
    assert faces["boxes"][0] == pytest.approx([face.box.x, face.box.y, face.box.width, face.box.height])
    assert faces["abstained"] == [False, False]
    assert answers["some"] == {"ages": faces["ages"][:1], "emotions": faces["emotions"][:1]}
    assert np.sum(answers["emotion"]["probabilities"], axis=1) == pytest.approx(np.ones(3))


def test_both_protocols_answer_crops_equally(found: dict[str, Any]) -> None:
    assert np.array(found["grpc"]["emotion"]["probabilities"]) == pytest.approx(
        np.array(found["http"]["emotion"]["probabilities"]), abs=1e-6
    )


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_tritonclient_gets_clear_errors(protocol: str, found: dict[str, Any]) -> None:
    errors = found[protocol]["errors"]
    assert "unknown model 'nose'; available: mien, age, gender, emotion" in errors["model"]
    assert "not '99'" in errors["version"]
    assert "image 1: " in errors["image"]
    assert "the input crops must be UINT8 of shape" in errors["shape"]
    assert "the input images must be BYTES of shape [-1], not UINT8 of shape [3]" in errors["type"]
    assert "unknown output 'nose'" in errors["output"]


def test_tokens_are_needed_but_for_health(triton: Path, service: FaceAnalysis, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(token_line("triton", "first") + "\n")
    settings = Settings.load({"server.port": 0, "http.port": 0, "server.drain_s": 0, "auth.token_file": file})
    with running_server(service, settings) as server:
        assert session(triton, server, "first")["http"]["ready"]
        url = server.http_address
        assert fetch(url, "/v2/health/live").status == fetch(url, "/v2/health/ready").status == 200
        assert fetch(url, "/v2").status == fetch(url, "/v2/models/mien").status == 401
        assert infer(url, {}).status == 401


def infer(url: str, content: object, model: str = "mien", tail: bytes = b"", **headers: str) -> Answer:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    if tail:
        headers = {"Inference_Header_Content_Length": str(len(body))} | headers
    return fetch(url, f"/v2/models/{model}/infer", body + tail, **headers)


def images(*contents: bytes, **changes: object) -> dict[str, object]:
    data = [base64.b64encode(content).decode() for content in contents]
    return {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [len(data)], "data": data} | changes]}


def test_json_alone_is_enough(single_server: Server) -> None:
    answer = infer(single_server.http_address, images(IMAGE) | {"id": "mine"})
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    outputs = {output["name"]: output for output in answer.json["outputs"]}
    assert answer.json["id"] == "mine"
    assert outputs["boxes"]["shape"] == [1, 4]
    assert len(outputs["boxes"]["data"]) == 4
    assert outputs["genders"]["data"] == ["female"]
    blank = infer(single_server.http_address, images(b"x"))
    assert (blank.status, blank.reason) == (400, "IMAGE_UNDECODABLE")
    assert blank.json["error"].startswith("INVALID_ARGUMENT: ")


def test_an_image_without_faces_gives_empty_arrays(single_server: Server) -> None:
    from PIL import Image

    from tests.photographs import encoded

    grey = encoded(Image.new("RGB", (64, 64), "grey"), "PNG")
    outputs = {each["name"]: each for each in infer(single_server.http_address, images(grey)).json["outputs"]}
    assert outputs["emotion_probabilities"] | {"data": 0} == {
        "name": "emotion_probabilities",
        "datatype": "FP32",
        "shape": [0, 7],
        "data": 0,
    }


ONE = {"name": "crops", "datatype": "UINT8", "shape": [1, 64, 64, 3]}


@pytest.mark.parametrize(
    ("content", "tail", "reason"),
    [
        (b"not json", b"", "INFERENCE_REQUEST_INVALID"),
        (b"[" * 100_000, b"", "INFERENCE_REQUEST_INVALID"),
        (b"[]", b"", "INFERENCE_REQUEST_INVALID"),
        ({}, b"", "INFERENCE_REQUEST_INVALID"),
        ({"inputs": [1]}, b"", "INFERENCE_REQUEST_INVALID"),
        ({"inputs": []}, b"", "TENSOR_INVALID"),
        ({"inputs": [{"name": "nose"}]}, b"", "TENSOR_INVALID"),
        (images(IMAGE, shape=[2]), b"", "TENSOR_INVALID"),
        (images(IMAGE, shape=[-1]), b"", "TENSOR_INVALID"),
        (images(IMAGE, shape=[2**40]), b"", "TENSOR_INVALID"),
        (images(IMAGE, shape="1"), b"", "TENSOR_INVALID"),
        (images(IMAGE, data=[1]), b"", "TENSOR_INVALID"),
        (images(IMAGE, data=["%%"]), b"", "TENSOR_INVALID"),
        (images(IMAGE, data=None), b"", "TENSOR_INVALID"),
        (images(IMAGE, parameters={"binary_data_size": 9}), b"", "TENSOR_INVALID"),
        (images(IMAGE, parameters={"binary_data_size": 3}), b"abc", "TENSOR_INVALID"),
        (images(IMAGE, parameters={"binary_data_size": 5}), b"\xff\xff\xff\xffa", "TENSOR_INVALID"),
        (images(*[b"x"] * 65), b"", "TENSOR_INVALID"),
        (images(), b"", "TENSOR_INVALID"),
        (images(IMAGE) | {"outputs": [{"name": "nose"}]}, b"", "TENSOR_INVALID"),
        (images(IMAGE) | {"parameters": 1}, b"", "INFERENCE_REQUEST_INVALID"),
    ],
)
def test_an_invalid_inference_request_has_a_reason(
    single_server: Server, content: object, tail: bytes, reason: str
) -> None:
    answer = infer(single_server.http_address, content, tail=tail)
    assert (answer.status, answer.reason) == (400, reason)
    assert len(answer.json["error"]) < 300


def test_the_length_of_the_json_must_be_within_the_body(single_server: Server) -> None:
    for length in ("-1", "x", "99999999"):
        answer = infer(single_server.http_address, images(IMAGE), Inference_Header_Content_Length=length)
        assert answer.reason == "INFERENCE_REQUEST_INVALID"


def test_an_inference_request_above_the_limit_is_cut_off(single_server: Server) -> None:
    answer = infer(single_server.http_address, bytes(5 * 2**20))
    assert (answer.status, answer.reason) == (413, "INFERENCE_REQUEST_TOO_LARGE")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("GET", "/v2/nothing", None, 404, "unknown path '/v2/nothing'"),
        ("GET", "/v2/models/mien/", None, 404, "remove the slash at its end"),
        ("GET", "/v2/models/mien/infer", None, 405, "/v2/models/mien/infer does not accept GET; use POST"),
        ("POST", "/v2/models/mien/infer", b"", 400, "the inference request is empty; send a JSON object"),
        ("POST", "/v2/models/mien/infer", bytes(5 * 2**20), 413, "the inference request is larger than"),
    ],
)
def test_every_error_below_v2_has_the_text_of_the_protocol(
    single_server: Server, method: str, path: str, body: bytes | None, status: int, message: str
) -> None:
    answer = fetch(single_server.http_address, path, body, method=method)
    assert answer.status == status
    assert message in answer.json["error"]


def test_nested_lists_and_typed_contents_are_accepted(single_server: Server) -> None:
    url = single_server.http_address
    side = fetch(url, "/v2/models/age").json["inputs"][0]["shape"][1]
    crop = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
    tensor = {"name": "crops", "datatype": "UINT8", "shape": list(crop.shape)}
    nested = infer(url, {"inputs": [tensor | {"data": crop.tolist()}]}, "age").json["outputs"][0]["data"]
    flat = infer(url, {"inputs": [tensor | {"data": crop.reshape(-1).tolist()}]}, "age").json["outputs"][0]["data"]
    floats = infer(url, {"inputs": [tensor | {"data": crop.astype(float).tolist()}]}, "age").json["outputs"][0]["data"]
    assert floats == flat
    for wrong in (0.5, 256.0, -1, float("nan")):
        data = [wrong, *crop.reshape(-1).tolist()[1:]]
        assert infer(url, {"inputs": [tensor | {"data": data}]}, "age").reason == "TENSOR_INVALID"
    request = messages.ModelInferRequest(model_name="age")
    given = request.inputs.add(name="crops", datatype="UINT8", shape=crop.shape)
    given.contents.uint_contents.extend(crop.reshape(-1).tolist())
    with grpc.insecure_channel(single_server.address) as channel:
        call = channel.unary_unary(
            f"/{messages.SERVICE}/ModelInfer",
            messages.ModelInferRequest.SerializeToString,
            messages.ModelInferResponse.FromString,
        )
        typed = call(request, timeout=20).outputs[0].contents.fp32_contents
        given.contents.uint_contents[0] = 256
        with pytest.raises(grpc.RpcError, match="an element that is not UINT8"):
            call(request, timeout=20)
    assert nested == flat == pytest.approx(list(typed), rel=1e-6)


def test_it_can_be_switched_off(service: FaceAnalysis) -> None:
    settings = {"server.port": 0, "http.port": 0, "server.drain_s": 0, "server.open_inference": False}
    with running_server(service, Settings.load(settings)) as server:
        assert fetch(server.http_address, "/v2").status == 404
        with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError, match="UNIMPLEMENTED"):
            channel.unary_unary(f"/{messages.SERVICE}/ServerLive")(b"", timeout=10)
