"""Tests of how the endurance test judges replies."""

import time
from typing import Any

from endurance_log import CANARY, Log, same

RIGHT: dict[str, Any] = {
    "faces": [{"age": {"years": 30.0}, "emotions": [{"label": "happy", "probability": 0.9}]}],
    "tasks": [
        {"task": "age", "status": {"code": 0}},
        {"task": "emotion", "status": {"code": 0}, "model": {"name": "stable"}},
    ],
}
PARTIAL: dict[str, Any] = {
    "faces": [{"age": {"years": 30.0}}],
    "tasks": [{"task": "age", "status": {"code": 0}}, {"task": "emotion", "status": {"code": 14}}],
}


def test_rounding_is_accepted_and_another_answer_is_not() -> None:
    assert same({"a": [1.0, "x"]}, {"a": [1.0005, "x"]})
    assert not same({"a": [1.0]}, {"a": [1.01]})
    assert not same({"a": [1.0]}, {"a": [1.0, 2.0]})
    assert not same({"a": 1.0}, {"b": 1.0})


def test_answers_may_be_missing_for_a_while_after_a_kill_only() -> None:
    log = Log(settle_seconds=60)
    log.judge("sdk", RIGHT, RIGHT)
    log.judge("sdk", PARTIAL, RIGHT)
    log.last_kill = time.monotonic()
    log.judge("sdk", PARTIAL, RIGHT)
    log.judge("sdk", RIGHT | {"faces": []}, RIGHT)
    assert log.outcomes["sdk"] == {"right": 1, "partial": 1, "partial after a kill": 1, "wrong": 1}
    assert [problem["kind"] for problem in log.unexpected] == ["partial", "wrong"]


def test_a_canarys_emotion_may_differ() -> None:
    log = Log(settle_seconds=60)
    other = [{**RIGHT["faces"][0], "emotions": [{"label": "sad", "probability": 0.9}]}]
    by_canary = [RIGHT["tasks"][0], {"task": "emotion", "status": {"code": 0}, "model": {"name": CANARY}}]
    log.judge("sdk", {"faces": other, "tasks": by_canary}, RIGHT)
    log.judge("sdk", {"faces": other, "tasks": RIGHT["tasks"]}, RIGHT)
    assert log.outcomes["sdk"] == {"right, emotion by the canary": 1, "wrong": 1}
