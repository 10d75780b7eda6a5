"""Tests of the serving benchmark's evaluation and comparison of responses."""

from dataclasses import replace
from pathlib import Path

import pytest

from answers import difference
from chart import Bar, draw
from load import Metrics
from measurements import Machine, Picture, Results, Round
from report import write_report
from session import Session
from summary import Spread, summarize
from systems import SYSTEMS

RUN = Metrics("closed", 16, None, 100, {}, 40.0, 120.0, 20.0, 40.0, 60.0, 45.0, 0.3)
MACHINE = Machine("a processor", 2, 8.0, "Linux 6", "3.11", {"numpy": "2"}, 0.0)
REPLY = {
    "faces": [
        {
            "box": {"x": 10.0, "y": 20.0, "width": 30.0, "height": 40.0},
            "gender": {"value": "female", "probability": 0.9},
            "emotions": [{"label": "happy", "probability": 0.7}, {"label": "sad", "probability": 0.3}],
        }
    ]
}


def session(rate: float, cpu: float, p50: float, tail: float = 3.0) -> Session:
    one = replace(RUN, in_flight=1, p50_ms=p50)
    sixteen = replace(RUN, requests_per_second=rate, cpu_ms_per_request=cpu)
    opened = replace(RUN, load="open", in_flight=None, share=0.8, p50_ms=p50, p99_ms=tail * p50)
    growth = tuple(replace(one, cpu_ms_per_request=cpu) for cpu in (30.0, 60.0))
    return Session(2.0, (one, sixteen, opened), growth, 300.0)


def results(**sessions: list[Session]) -> Results:
    rounds = [Round(index, name, item) for name, items in sessions.items() for index, item in enumerate(items)]
    groups = [Picture("one", 1000, 1), Picture("three", 1000, 3)]
    return Results(
        "python benchmarks/serving.py", True, "haar", 7, MACHINE, groups, groups, {"bento": "no wheel"}, rounds
    )


def test_ratios_are_taken_within_each_round() -> None:
    summary = summarize(
        results(
            single=[session(40, 20, 20), session(20, 20, 20), session(30, 20, 22)],
            cluster=[session(36, 25, 26), session(20, 20, 23, tail=5), session(24, 30, 30)],
        )
    )
    assert summary["cluster_over_single"] == {"median": 0.9, "low": 0.8, "high": 1.0}
    assert summary["cluster_cpu_over_single"] == {"median": 1.25, "low": 1.0, "high": 1.5}
    assert summary["cluster_p50_minus_single_ms"] == {"median": 6.0, "low": 3.0, "high": 8.0}
    assert "single_over_baseline" not in summary


def test_the_best_peer_is_chosen_in_each_round() -> None:
    summary = summarize(
        results(
            single=[session(40, 20, 20), session(40, 20, 20)],
            fast_api=[session(20, 20, 20), session(32, 20, 20)],
            lit_serve=[session(25, 20, 20), session(10, 20, 20)],
        )
    )
    assert summary["single_over_best_peer"] == {"median": 1.425, "low": 1.25, "high": 1.6}


def test_the_tail_is_that_of_the_slower_mode() -> None:
    summary = summarize(results(single=[session(40, 20, 20, tail=2)], cluster=[session(40, 20, 20, tail=3.5)]))
    assert summary["p99_over_p50"] == {"median": 3.5, "low": 3.5, "high": 3.5}


def test_the_summary_has_whether_the_cost_per_face_falls() -> None:
    summary = summarize(results(single=[session(40, 20, 20)]))
    growth = summary["cpu_ms_per_face"]
    assert isinstance(growth, dict)
    assert growth["single"]["1"] == {"median": 30.0, "low": 30.0, "high": 30.0}
    assert growth["single"]["3"] == {"median": 20.0, "low": 20.0, "high": 20.0}
    assert growth["single"]["falling"] is True


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = results(single=[session(40, 20, 20)])
    path = tmp_path / "results.json"
    written.write(path)
    assert Results.read(path) == written


def test_a_report_lists_systems_that_could_not_be_measured(tmp_path: Path) -> None:
    write_report(results(single=[session(40, 20, 20)]), tmp_path)
    text = (tmp_path / "benchmarks.md").read_text()
    assert "**BentoML**: not measured: no wheel" in text
    assert "| Mien, single | 40.0 |" in text
    assert "1389 ms per face" in text


def test_the_same_answers_may_differ_in_the_last_digits_and_in_the_order_of_emotions() -> None:
    (face,) = REPLY["faces"]
    turned = face | {"emotions": face["emotions"][::-1], "gender": {"value": "female", "probability": 0.9001}}
    assert difference({"faces": [turned]}, REPLY) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gender": {"value": "male", "probability": 0.9}}, "face 0.gender.value is 'male' instead of 'female'"),
        ({"gender": {"value": "female", "probability": 0.8}}, "face 0.gender.probability is 0.8 instead of 0.9"),
        ({"gender": None}, "face 0.gender is None instead of"),
        ({"emotions": []}, "face 0.emotions.happy is None instead of 0.7"),
    ],
)
def test_different_predictions_are_detected(change: dict[str, object], message: str) -> None:
    (face,) = REPLY["faces"]
    assert message in str(difference({"faces": [face | change]}, REPLY))
    assert difference({}, REPLY) == "0 faces instead of 1"


def test_every_peer_has_pinned_requirements() -> None:
    for system in SYSTEMS:
        if system.kind == "peer":
            lines = system.pins.read_text().splitlines()
            assert all("==" in line for line in lines if not line.startswith("#")), system.pins


def test_a_longer_bar_is_a_larger_value() -> None:
    drawn = draw(
        "Speed", [Bar("one & two", "ours", Spread(10.0, 9.0, 12.0)), Bar("other", "peer", Spread(5.0, 5.0, 5.0))]
    )
    assert "one &amp; two" in drawn
    assert drawn.count("<rect") == 3
