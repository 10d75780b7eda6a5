"""Tests of canaries, shadows and named models over a real server."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from PIL import Image
from prometheus_client import parser
from typer.testing import CliRunner

import mien
from mien.cli.main import app
from mien.request import TaskName
from mien.v1 import face_service_pb2 as pb
from mien_orchestrator.build import make_executor, make_inline_service
from mien_orchestrator.settings import Settings
from mien_orchestrator.telemetry.metrics import Metrics
from tests.http_client import fetch
from tests.photographs import EXAMPLE
from tests.servers import running_server
from tests.waits import wait_until

STABLE, CANARY, SHADOW, OTHER = "mien-emotion", "mini-xception-emotion", "ssrnet-age", "mien-emotion-fer2013"


@dataclass
class Served:
    """A server with a canary of emotion and a shadow of age."""

    address: str
    http: str
    metrics: Metrics

    def samples(self) -> dict[tuple[str, str, str], float]:
        """Return the metrics of models by name, model and role."""
        families = parser.text_string_to_metric_families(self.metrics.text()[0].decode())
        found = [sample for family in families for sample in family.samples if "model" in sample.labels]
        return {(s.name, s.labels["model"], s.labels.get("role", "")): s.value for s in found if "le" not in s.labels}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    settings = Settings.load(
        {
            "server.port": 0,
            "http.port": 0,
            "server.drain_s": 1,
            "models.selectable": True,
            "tasks.emotion.canary": {"model": CANARY, "share": 0.5},
            "tasks.age.shadow": {"model": SHADOW, "share": 1},
        }
    )
    metrics = Metrics()
    with make_executor(settings) as seeing, make_executor(settings) as computing:
        service = make_inline_service(settings, seeing, computing, pb.DEPLOYMENT_MODE_SINGLE, metrics)
        with running_server(service, settings, metrics) as server:
            yield Served(server.address, server.http_address, metrics)


@pytest.fixture
def client(served: Served) -> Iterator[mien.Client]:
    with mien.Client(served.address) as made:
        yield made


def models(analysis: mien.Analysis) -> dict[str, str]:
    """Return the name of the model that answered each task."""
    return {result.task: result.model.name for result in analysis.tasks if result.model}


def test_the_reply_has_the_model_that_answered(served: Served, client: mien.Client) -> None:
    before = served.samples()
    answered = [models(client.analyze(EXAMPLE)) for _ in range(16)]
    assert {found["emotion"] for found in answered} == {STABLE, CANARY}
    assert {found["age"] for found in answered} == {"mien-age-gender"}  # never the shadow
    canary = ("mien_model_requests_total", CANARY, "canary")
    count = [found["emotion"] for found in answered].count(CANARY)
    assert served.samples()[canary] - before.get(canary, 0) == count
    assert served.samples()["mien_model_latency_seconds_sum", CANARY, "canary"] > 0


def test_a_request_without_faces_has_the_model_that_would_have_answered(client: mien.Client) -> None:
    picture = Image.new("RGB", (64, 64), "grey")
    found = {models(client.analyze(picture, request_id=f"no-face-{index}"))["emotion"] for index in range(12)}
    assert found == {STABLE, CANARY}


def test_the_shadow_is_compared_in_status_and_metrics(served: Served, client: mien.Client) -> None:
    client.analyze(EXAMPLE)
    wait_until(lambda: served.samples().get(("mien_shadow_faces_total", SHADOW, ""), 0) > 0)
    assert served.samples()["mien_shadow_age_difference_years_count", SHADOW, ""] > 0
    rollouts = client.server_info().rollouts
    assert rollouts.keys() == {"age", "emotion"}
    assert rollouts["age"].comparison
    assert rollouts["age"].comparison.years_apart is not None
    assert rollouts["age"].canary is None
    canary = rollouts["emotion"].canary
    assert canary
    assert (canary.model.name, canary.share) == (CANARY, 0.5)


async def test_a_request_names_models(served: Served, client: mien.Client) -> None:
    for index in range(4):  # whatever the canary's hash
        named = client.analyze(EXAMPLE, models={"emotion": OTHER, "age": SHADOW}, request_id=f"named-{index}")
        assert models(named) == {"age": SHADOW, "gender": "mien-age-gender", "emotion": OTHER}
    assert models(client.analyze(EXAMPLE, models={"emotion": STABLE}, request_id="named-0"))["emotion"] == STABLE
    async with mien.AsyncClient(served.address) as twin:
        assert (await twin.analyze(EXAMPLE, models={"emotion": OTHER})).faces[0].emotion == named.faces[0].emotion
    over_http = fetch(served.http, f"/v1/analyze?tasks=emotion&models=emotion:{OTHER}", EXAMPLE.read_bytes()).json
    assert over_http["tasks"][0]["model"]["name"] == OTHER


@pytest.mark.parametrize(
    ("wanted", "error", "reason"),
    [
        ({"emotion": "nose-net"}, mien.NotFoundError, "MODEL_UNKNOWN"),
        ({"emotion": "ssrnet-age"}, mien.NotFoundError, "MODEL_UNKNOWN"),
        ({"nose": STABLE}, mien.InvalidRequestError, "TASK_UNKNOWN"),
        ({"emotion": ""}, mien.InvalidRequestError, "MODELS_INVALID"),
        ("emotion", mien.InvalidRequestError, "MODELS_INVALID"),
    ],
)
def test_an_invalid_model_is_an_error(
    client: mien.Client, wanted: dict[TaskName, str], error: type[mien.MienError], reason: str
) -> None:
    with pytest.raises(error) as caught:
        client.analyze(EXAMPLE, models=wanted)
    assert caught.value.reason == reason


def test_models_are_fixed_unless_the_settings_allow_others(single: str) -> None:
    with mien.Client(single) as client, pytest.raises(mien.InvalidRequestError, match="selectable") as caught:
        client.analyze(EXAMPLE, models={"emotion": OTHER})
    assert caught.value.reason == "MODELS_FIXED"


def test_the_command_names_models(served: Served) -> None:
    options = ["analyze", str(EXAMPLE), "--server", served.address, "--json"]
    result = CliRunner().invoke(app, [*options, "--model", f"emotion={OTHER}", "--model", f"age={SHADOW}"])
    assert result.exit_code == 0, result.output
    answered = {task["task"]: task["model"]["name"] for task in json.loads(result.stdout)["tasks"]}
    assert answered == {"age": SHADOW, "gender": "mien-age-gender", "emotion": OTHER}
    wrong = CliRunner().invoke(app, [*options, "--model", "emotion"])
    assert wrong.exit_code == 2
    assert "must be TASK=NAME" in wrong.stderr
