"""The committed figures of killed processes, and that the documents tell them."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
KILLS = json.loads((ROOT / "benchmarks" / "results" / "kills.json").read_text())["kills"]


def test_no_call_failed_or_was_answered_wrongly() -> None:
    assert sorted(kill["killed"] for kill in KILLS) == ["orchestrator"] * 3 + ["raylet"] * 3 + ["worker"] * 3
    assert [kill["failed"] for kill in KILLS] == [[]] * len(KILLS)
    assert [kill["wrong"] for kill in KILLS] == [0] * len(KILLS)


def test_the_documents_figures_are_those_of_the_run() -> None:
    (row,) = (
        line for line in (ROOT / "docs" / "deploy.md").read_text().splitlines() if "`make clusters-test`: kills" in line
    )
    processes, raylets = (
        [kill for kill in KILLS if (kill["killed"] == "raylet") == wanted] for wanted in (False, True)
    )
    longest, after_raylet = (max(kill["longest_gap_s"] for kill in kills) for kills in (processes, raylets))
    assert f"{sum(kill['answered'] for kill in KILLS):,} calls, none failed" in row
    assert f"without an answer {longest} s, after a raylet {after_raylet} s" in row
    whole, after = ([round(kill["recovery_s"] + 1e-6) for kill in kills] for kills in (processes, raylets))
    assert f"after {min(whole)} to {max(whole)} s, after a raylet {min(after)} to {max(after)} s" in row
