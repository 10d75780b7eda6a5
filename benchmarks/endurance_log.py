"""What happens in the endurance test: replies judged against those before the start, kills, and memory."""

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from soak import FLAT

CANARY = "mien-emotion-fer2013"
"""The model that answers emotion for a share of the requests."""

_ROUNDING = 1e-3
"""Largest accepted difference of a number from the reply before the start: batches of other sizes round differently."""

Reply = dict[str, Any]


@dataclass(slots=True)
class Log:
    """What happened, by seconds since the start."""

    settle_seconds: float
    started: float = field(default_factory=time.monotonic)
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    """Replies of each caller by outcome."""
    unexpected: list[dict[str, object]] = field(default_factory=list)
    """Wrong replies, failed requests, and predictions that were missing too long after a kill."""
    kills: list[dict[str, object]] = field(default_factory=list)
    memory_mib: list[tuple[float, float]] = field(default_factory=list)
    last_kill: float = float("-inf")

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return round(time.monotonic() - self.started, 1)

    def count(self, caller: str, outcome: str) -> None:
        """Count a reply."""
        self.outcomes.setdefault(caller, Counter())[outcome] += 1

    def problem(self, caller: str, kind: str, detail: str) -> None:
        """Count a reply that must not occur."""
        self.count(caller, kind)
        self.unexpected.append({"seconds": self.now, "caller": caller, "kind": kind, "detail": detail[:300]})

    def judge(self, caller: str, reply: Reply, expected: Reply) -> None:
        """Count a reply as right, partial or wrong."""
        missing = [task["task"] for task in reply["tasks"] if task["status"].get("code", 0)]
        if missing:
            settled = time.monotonic() > self.last_kill + self.settle_seconds
            if settled:
                self.problem(caller, "partial", f"without {missing}")
            else:
                self.count(caller, "partial after a kill")
            return
        faces, wanted, outcome = reply["faces"], expected["faces"], "right"
        if is_by_canary(reply):
            faces, wanted, outcome = _without_emotion(faces), _without_emotion(wanted), "right, emotion by the canary"
        if same(faces, wanted):
            self.count(caller, outcome)
        else:
            self.problem(caller, "wrong", json.dumps(reply["faces"]))


def is_by_canary(reply: Reply) -> bool:
    """Return whether the canary answered emotion."""
    return any(task["task"] == "emotion" and task["model"]["name"] == CANARY for task in reply["tasks"])


def _without_emotion(faces: list[Reply]) -> list[Reply]:
    return [{key: value for key, value in face.items() if key not in ("emotions", "mood")} for face in faces]


def same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal, but for the rounding of numbers."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float | int):
        return abs(one - other) <= _ROUNDING * max(1.0, abs(one))
    return bool(one == other)


def compared_memory(samples: list[tuple[float, float]], warm_up: float) -> dict[str, object]:
    """Compare the first and the last quarter of the samples after the warm-up."""
    counted = [mib for seconds, mib in samples if seconds >= warm_up]
    quarter = max(1, len(counted) // 4)
    first, last = median(counted[:quarter]), median(counted[-quarter:])
    change = last / first - 1
    return {
        "first_mib": round(first, 1),
        "last_mib": round(last, 1),
        "change": round(change, 4),
        "flat": change <= FLAT,
        "samples_mib": samples,
    }
