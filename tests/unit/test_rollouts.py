"""Tests of canaries and shadows: the choice per request, the fallback, and the comparison."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

import mien
from mien.errors import ModelError
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_pb2 import ModelInfo
from mien_models.spec import Task
from mien_orchestrator.build import make_executor, make_inline_backend, make_service
from mien_orchestrator.pipeline.backend import Backend, ModelCall, Outcome, Prediction
from mien_orchestrator.pipeline.face_stage import BulkheadExecutor
from mien_orchestrator.pipeline.rollout.choice import is_chosen
from mien_orchestrator.pipeline.rollout.difference import Difference, compare
from mien_orchestrator.pipeline.rollout.observer import Role
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from tests.backends import fanout, within
from tests.photographs import EXAMPLE

IDS = [uuid.UUID(int=index).hex for index in range(20_000)]
STABLE, NEXT = "mien-emotion", "mini-xception-emotion"


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 1.0])
def test_a_share_of_the_request_ids_is_chosen(share: float) -> None:
    chosen = sum(is_chosen(request_id, share, "canary") for request_id in IDS) / len(IDS)
    assert chosen == pytest.approx(share, abs=0.01)


def test_a_request_of_a_smaller_share_belongs_to_a_larger_one() -> None:
    small = {request_id for request_id in IDS if is_chosen(request_id, 0.1, "canary")}
    large = {request_id for request_id in IDS if is_chosen(request_id, 0.25, "canary")}
    assert small < large


def test_shares_for_different_purposes_are_independent() -> None:
    both = sum(is_chosen(name, 0.5, "canary") and is_chosen(name, 0.5, "shadow") for name in IDS) / len(IDS)
    assert both == pytest.approx(0.25, abs=0.01)


def down(inner: ModelCall) -> ModelCall:
    """Return a call that fails."""

    async def call(tasks: Sequence[Task], crops: NDArray[np.uint8], deadline: float) -> Prediction:
        raise mien.ServerError("the model is broken")

    return call


def hanging(inner: ModelCall) -> ModelCall:
    """Return a call that does not end."""

    async def call(tasks: Sequence[Task], crops: NDArray[np.uint8], deadline: float) -> Prediction:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    return call


def plain(inner: ModelCall) -> ModelCall:
    return inner


FAULTS = {"down": down, "hanging": hanging, "plain": plain}


class ShadowEvents:
    """An observer that notices when a shadow has answered and was compared, or has failed."""

    def __init__(self) -> None:
        self.answered_tasks: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def answered(self, task: Task, model: ModelInfo, role: Role, outcome: Outcome) -> None:
        if role == "shadow" and outcome.error:
            self.answered_tasks[task].set()

    def compared(self, task: Task, shadow: ModelInfo, difference: Difference) -> None:
        self.answered_tasks[task].set()

    def dropped(self, task: Task, shadow: ModelInfo) -> None:
        pass


class Made:
    """A service with a canary and a shadow, whose models fail in a given way."""

    def __init__(self, settings: dict[str, object], fault: str, executor: BulkheadExecutor) -> None:
        self.settings = Settings.load(settings)
        self._fault, self._executor = fault, executor
        self.shadows = ShadowEvents()
        stable = make_inline_backend(self.settings, executor)
        self.service: FaceAnalysis = make_service(
            self.settings,
            stable,
            executor,
            pb.DEPLOYMENT_MODE_EMBEDDED,
            make_backend=self._backend,
            observers=[self.shadows],
        )

    def _backend(self, settings: Settings, role: Role) -> Backend:
        if self._fault == "plain":
            return make_inline_backend(settings, self._executor)
        return fanout(settings, self._executor, FAULTS[self._fault])

    async def emotion_model(self, seconds: float = 30) -> str:
        """Return the model that answers the emotion of a request."""
        reply = await self.service.analyze(pb.AnalyzeRequest(image=EXAMPLE.read_bytes()), within(seconds))
        result = next(result for result in reply.tasks if result.task == "emotion")
        assert result.status.code == 0, result.status.message
        assert reply.faces[0].emotions
        return result.model.name

    def rollout(self, task: str) -> mien.Rollout:
        """Return the state of a task's rollout."""
        return mien.ServerInfo.from_message(self.service.server_info()).rollouts[task]

    async def compared(self, task: str) -> mien.ShadowComparison:
        """Return the comparison with the shadow, once it has answered."""
        async with asyncio.timeout(20):
            await self.shadows.answered_tasks[task].wait()
        found = self.rollout(task).comparison
        assert found
        return found


@pytest.fixture
def executor() -> Iterator[BulkheadExecutor]:
    with make_executor(Settings.load({"limits.cpu_threads": 2})) as made:
        yield made


async def test_a_canary_answers_its_share(executor: BulkheadExecutor) -> None:
    made = Made({"tasks.emotion.canary": {"model": NEXT, "share": 0.5}}, "plain", executor)
    models = [await made.emotion_model() for _ in range(24)]
    assert set(models) == {STABLE, NEXT}
    rollout = made.rollout("emotion")
    assert rollout.canary
    assert rollout.canary.requests == models.count(NEXT)
    assert rollout.stable.requests == models.count(STABLE)
    assert rollout.canary.share == 0.5


async def test_a_repeated_request_has_the_same_model(executor: BulkheadExecutor) -> None:
    made = Made({"tasks.emotion.canary": {"model": NEXT, "share": 0.5}}, "plain", executor)
    for request_id in IDS[:6]:
        found = set()
        for _ in range(2):
            context = within(30)
            context.request_id = request_id
            reply = await made.service.analyze(
                pb.AnalyzeRequest(image=EXAMPLE.read_bytes(), tasks=["emotion"]), context
            )
            found.add(reply.tasks[0].model.name)
        assert found == {NEXT if is_chosen(request_id, 0.5, "canary") else STABLE}


@pytest.mark.parametrize(("fault", "seconds"), [("down", 30), ("hanging", 3)])
async def test_the_stable_model_answers_for_a_failing_canary(
    executor: BulkheadExecutor, fault: str, seconds: float
) -> None:
    made = Made({"tasks.emotion.canary": {"model": NEXT, "share": 1}}, fault, executor)
    assert [await made.emotion_model(seconds) for _ in range(3)] == [STABLE] * 3
    canary = made.rollout("emotion").canary
    assert canary
    assert (canary.requests, canary.errors) == (3, 3)


async def test_a_shadow_is_compared_and_never_returned(executor: BulkheadExecutor) -> None:
    shadows: dict[str, object] = {
        "tasks.emotion.shadow": {"model": NEXT, "share": 1},
        "tasks.gender.shadow": {"model": "ssrnet-gender", "share": 1},
        "tasks.age.shadow": {"model": "ssrnet-age", "share": 1},
    }
    made = Made(shadows, "plain", executor)
    assert await made.emotion_model() == STABLE
    age, gender, emotion = [await made.compared(task) for task in ("age", "gender", "emotion")]
    alone = Settings.load({"tasks.age.model": "ssrnet-age"})
    other = make_service(alone, make_inline_backend(alone, executor), executor, pb.DEPLOYMENT_MODE_EMBEDDED)
    years = []
    for service in (made.service, other):
        reply = await service.analyze(pb.AnalyzeRequest(image=EXAMPLE.read_bytes()), within(30))
        years.append(reply.faces[0].age.years)
    assert age.years_apart == pytest.approx(abs(years[0] - years[1]), abs=1e-3)
    assert age.differing_labels is None
    assert gender.differing_labels in (0.0, 1.0)
    assert emotion.differing_labels in (0.0, 1.0)
    await made.service.drain()


async def test_a_failing_shadow_costs_nothing(executor: BulkheadExecutor) -> None:
    made = Made({"tasks.emotion.shadow": {"model": NEXT, "share": 1}}, "down", executor)
    assert await made.emotion_model() == STABLE
    assert (await made.compared("emotion")).faces == 0
    shadow = made.rollout("emotion").shadow
    assert shadow
    assert shadow.errors == 1


async def test_a_busy_shadow_drops_requests(executor: BulkheadExecutor) -> None:
    made = Made({"tasks.emotion.shadow": {"model": NEXT, "share": 1}}, "hanging", executor)
    for _ in range(7):
        assert await made.emotion_model() == STABLE
    comparison = made.rollout("emotion").comparison
    assert comparison
    assert comparison.dropped_requests == 3  # four wait
    await made.service.drain()


def test_the_same_model_as_canary_is_an_error(executor: BulkheadExecutor) -> None:
    with pytest.raises(ModelError, match="'mien-emotion' is the stable model"):
        Made({"tasks.emotion.canary.model": STABLE}, "plain", executor)
    with pytest.raises(ModelError, match="does not serve task 'emotion'"):
        Made({"tasks.emotion.canary.model": "ssrnet-age"}, "plain", executor)


def test_differences_of_two_models() -> None:
    models = (ModelInfo(labels=["happy", "sad"]), ModelInfo(labels=["sad", "happy"]))
    first = {"probabilities": np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)}
    second = {"probabilities": np.array([[0.1, 0.9], [0.3, 0.7]], np.float32)}
    labels = compare("emotion", first, second, models).labels
    assert labels is not None
    assert labels.tolist() == [False, True]
    labels = compare("gender", {"p_male": np.array([0.4, 0.6])}, {"p_male": np.array([0.1, 0.2])}, models).labels
    assert labels is not None
    assert labels.tolist() == [False, True]
    years = compare("age", {"years": np.array([30.0, 20.0])}, {"years": np.array([33.5, 20.0])}, models).years
    assert years is not None
    assert years.tolist() == [3.5, 0.0]
