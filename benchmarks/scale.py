"""Simulate clusters of any size from measured times; writes benchmarks/results/scale.json and docs/scale.md.

python benchmarks/scale.py measure --photographs ../shared/photos    # times of the stages, on this machine
python benchmarks/serving.py --photographs ../shared/photos --systems single --rounds 2 --out RUN
python benchmarks/scale.py validate --results RUN/systems.json       # the simulation beside that real server
python benchmarks/scale.py simulate                                  # the scenarios and the page
"""

import json
import math
import os
import statistics
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from measurements import Machine
from mien_orchestrator.settings.groups import LimitsSettings
from mien_orchestrator.settings.scaling import ScalingSettings
from simulation import ClusterSpec, Outcome, Photograph, PoolSpec, Rate, Simulation

_ROOT = Path(__file__).parent.parent
_RESULTS = _ROOT / "benchmarks" / "results"
_FILE = _RESULTS / "scale.json"

_DETECTOR = "mien"
_DEADLINE_S = 2.0
_SEED = 7
_DEPLOYED = _ROOT / "deploy" / "k8s" / "overlays" / "prod-cpu" / "serve.yaml"
_DEPLOYMENTS = {"age-gender": "age", "emotion": "emotion"}
"""A deployment that runs each model; age and gender have one each and share their work, so two are simulated as one."""
_TARGETS = ((16, 4), (8, 4), (4, 2), (3, 1.5), (2, 1))
_SETTLE_S = 480.0
"""Time after which the steady loads are measured: the first overshoot is over, with its delay of 300 s."""

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
Photographs = Annotated[Path, typer.Option(help="Folder of photographs; those with faces are used.")]


@dataclass(frozen=True, slots=True)
class Times:
    """Measured times; see `measure`."""

    photographs: tuple[Photograph, ...]
    call_s: dict[str, float]
    """Seconds per batch, by model."""
    face_s: dict[str, float]
    """Seconds per face, by model."""
    hop_s: float
    """Seconds of a core per request that a cluster costs more than a single process; half in the orchestrator."""
    start_s: float
    """Seconds until a new replica on a running node answers: the median after a kill."""


@app.command()
def measure(photographs: Photographs) -> None:
    """Measure the stages of each photograph in this process: the lowest of several runs, one thread."""
    from serving import environment
    from stage_times import measured

    os.environ.update(environment(_DETECTOR))
    photos, call_s, face_s = measured(photographs, _SEED)
    _write(
        "times",
        {
            "command": " ".join(["python", *sys.argv]),
            "machine": asdict(Machine.here()),
            "photographs": [asdict(photo) for photo in photos],
            "call_s": call_s,
            "face_s": face_s,
            "hop_s": _hop_s(),
            "start_s": _start_s(),
        },
    )


def _hop_s() -> float:
    """Return what a request costs more in a cluster, from the serving benchmark at 16 calls in flight."""
    rounds = json.loads((_RESULTS / "systems.json").read_text())["rounds"]

    def cost(system: str) -> float:
        costs = sorted(
            run["cpu_ms_per_request"]
            for entry in rounds
            if entry["system"] == system
            for run in entry["session"]["runs"]
            if run["load"] == "closed" and run["in_flight"] == 16
        )
        return float(costs[len(costs) // 2])

    return (cost("cluster") - cost("single")) / 1e3


def _start_s() -> float:
    recoveries = sorted(kill["recovery_s"] for kill in json.loads((_RESULTS / "kills.json").read_text())["kills"])
    return float(recoveries[len(recoveries) // 2])


@app.command()
def validate(
    results: Annotated[Path, typer.Option(help="systems.json of a run of serving.py with the system `single`.")],
) -> None:
    """Simulate the open loops of the single server in a result of the serving benchmark, and record both."""
    times = _times()
    rounds = [entry for entry in json.loads(results.read_text())["rounds"] if entry["system"] == "single"]
    if not rounds:
        raise typer.BadParameter(f"{results} does not contain the system single")
    rows = []
    for share in (0.5, 0.8):
        runs = [run for entry in rounds for run in entry["session"]["runs"] if run["share"] == share]
        rate = statistics.median(run["requests_per_second"] for run in runs)
        real = {key: statistics.median(run[f"{key}_ms"] for run in runs) for key in ("p50", "p99")}
        outcome = _single(times, rate, seconds=600)
        simulated = {"p50": 1e3 * outcome.quantile(0.5), "p99": 1e3 * outcome.quantile(0.99)}
        rows.append(
            {"share_of_peak": share, "requests_per_second": rate, "real_ms": real, "simulated_ms": simulated}
            | {f"{key}_error": simulated[key] / real[key] - 1 for key in real}
        )
    _write("validation", {"command": " ".join(["python", *sys.argv]), "rounds": len(rounds), "rows": rows})
    for row in rows:
        typer.echo(json.dumps(row))


def _single(times: Times, rate: float, seconds: float) -> Outcome:
    """Simulate one process on two cores: whole requests, each on one core."""
    whole = [
        replace(
            photo,
            front_s=photo.front_s + sum(times.call_s[name] + photo.faces * times.face_s[name] for name in times.call_s),
        )
        for photo in times.photographs
    ]
    two = PoolSpec("process", _fixed(2))
    spec = ClusterSpec(two, (), start_s=0, deadline_s=_DEADLINE_S)
    return Simulation(spec, whole, lambda _: rate, seed=_SEED).run(seconds, peak=rate)


def _fixed(count: int) -> ScalingSettings:
    return ScalingSettings(min_replicas=count, max_replicas=count)


def _times() -> Times:
    found = json.loads(_FILE.read_text())["times"]
    photos = tuple(Photograph(**photo) for photo in found["photographs"])
    return Times(photos, found["call_s"], found["face_s"], found["hop_s"], found["start_s"])


def _cluster(times: Times, most: int, targets: tuple[float, float] | None = None) -> ClusterSpec:
    """Return the cluster of `deploy/k8s/overlays/prod-cpu`, with up to `most` replicas of each deployment.

    `targets`: calls in flight per orchestrator and per worker, instead of the overlay's.
    """
    deployments = {
        entry["name"]: entry for entry in yaml.safe_load(_DEPLOYED.read_text())["applications"][0]["deployments"]
    }
    orchestrator = deployments["orchestrator"]
    calls = len(times.call_s)

    def scaling(name: str, target: float | None) -> ScalingSettings:
        known = {key: value for key, value in deployments[name]["autoscaling_config"].items() if key != "policy"}
        changed = {"max_replicas": most} | ({"target_ongoing_requests": target} if target else {})
        return ScalingSettings(**(known | changed))

    to_orchestrator, to_worker = targets or (None, None)
    return ClusterSpec(
        PoolSpec(
            "orchestrator",
            scaling("orchestrator", to_orchestrator),
            cores=orchestrator["ray_actor_options"]["num_cpus"],
            limit=LimitsSettings().max_concurrent_requests,
        ),
        tuple(
            PoolSpec(
                name,
                scaling(_DEPLOYMENTS[name], to_worker),
                call_s=times.call_s[name] + times.hop_s / 2 / calls,
                face_s=times.face_s[name],
            )
            for name in times.call_s
        ),
        start_s=times.start_s,
        deadline_s=_DEADLINE_S,
    )


@app.command()
def simulate() -> None:
    """Run the scenarios, write their results and the page."""
    from scale_page import write

    times = _times()
    times = replace(
        times, photographs=tuple(replace(photo, front_s=photo.front_s + times.hop_s / 2) for photo in times.photographs)
    )
    _write("steady", [_steady(times, rate) for rate in (10, 100, 1000)])
    _write("targets", [{"targets": targets} | _steady(times, 300, targets, 1200) for targets in _TARGETS])
    _write("beyond", [_beyond(rate) for rate in (10_000, 100_000)])
    _write("day", _day(times))
    _write("flash crowd", _flash(times))
    _write("zone lost", _zone(times))
    write(json.loads(_FILE.read_text()), _ROOT / "docs" / "scale.md")


def _run(
    times: Times,
    rate: Rate,
    peak: float,
    seconds: float,
    *,
    targets: tuple[float, float] | None = None,
    lose: tuple[float, float] | None = None,
) -> Outcome:
    most = max(4, math.ceil(peak * _core_s(times)))
    return Simulation(_cluster(times, most, targets), times.photographs, rate, seed=_SEED).run(
        seconds, peak=peak, lose=lose
    )


def _core_s(times: Times) -> float:
    """Return the mean seconds of a core per request."""
    photos = times.photographs
    front = sum(photo.front_s for photo in photos) / len(photos)
    faces = sum(photo.faces for photo in photos) / len(photos)
    return front + sum(times.call_s[name] + faces * times.face_s[name] for name in times.call_s)


def _steady(
    times: Times, rate: float, targets: tuple[float, float] | None = None, least_s: float = 60.0
) -> dict[str, Any]:
    seconds = _SETTLE_S + max(least_s, 20_000 / rate)
    outcome = _run(times, lambda _: rate, rate, seconds, targets=targets)
    return {"requests_per_second": rate} | _summary(outcome, _SETTLE_S, seconds)


def _beyond(rate: int) -> dict[str, Any]:
    """A rate beyond one cluster: cells of 1,000 requests a second each, which a gateway chooses at random."""
    cell = next(row for row in json.loads(_FILE.read_text())["steady"] if row["requests_per_second"] == 1000)
    cells = rate // 1000
    return cell | {
        "requests_per_second": rate,
        "cells": cells,
        "replicas": {name: count * cells for name, count in cell["replicas"].items()},
    }


def _day(times: Times) -> dict[str, Any]:
    """A day in two hours: from 20 to 200 requests a second and back, twelve times as steep as in reality."""
    seconds, low, high = 7200.0, 20.0, 200.0

    def rate(now: float) -> float:
        return low + (high - low) * (1 - math.cos(2 * math.pi * now / seconds)) / 2

    outcome = _run(times, rate, high, seconds)
    return _summary(outcome, 0, seconds) | {"curve": _curve(outcome, 60)}


def _flash(times: Times) -> dict[str, Any]:
    """From 50 to 500 requests a second within ten seconds, for five minutes."""
    start, ramp, low, high = _SETTLE_S, 10.0, 50.0, 500.0
    seconds = start + 300

    def rate(now: float) -> float:
        return low + (high - low) * min(max((now - start) / ramp, 0.0), 1.0)

    outcome = _run(times, rate, high, seconds)
    return _summary(outcome, start, seconds) | {
        "whole_again_s": _whole_again(outcome, start),
        "curve": _curve(outcome, 5),
    }


def _zone(times: Times) -> dict[str, Any]:
    """A third of all replicas is lost at 200 requests a second."""
    moment, seconds, rate = _SETTLE_S, _SETTLE_S + 180, 200.0
    outcome = _run(times, lambda _: rate, rate, seconds, lose=(moment, 1 / 3))
    return _summary(outcome, moment, seconds) | {
        "whole_again_s": _whole_again(outcome, moment),
        "curve": _curve(outcome, 5),
    }


def _summary(outcome: Outcome, since: float, until: float) -> dict[str, Any]:
    answered = [latency for arrival, latency in outcome.latencies if since <= arrival < until]
    refused = sum(since <= arrival < until for arrival in outcome.refused)
    counts = [row for at, row in outcome.replicas if since <= at < until]
    cores = sum(row["cores"] for row in counts)  # of one second each
    return {
        "requests": len(answered) + refused,
        "p50_ms": round(1e3 * outcome.quantile(0.5, since, until), 1),
        "p99_ms": round(1e3 * outcome.quantile(0.99, since, until), 1),
        "late_share": round(sum(latency > _DEADLINE_S for latency in answered) / max(1, len(answered) + refused), 5),
        "refused_share": round(refused / max(1, len(answered) + refused), 5),
        "replicas": {name: max(row[name] for row in counts) for name in counts[0] if name != "cores"},
        "core_hours_per_million": round(cores / 3600 / max(1, len(answered)) * 1e6, 1),
    }


def _whole_again(outcome: Outcome, since: float) -> float | None:
    """Return the seconds after which no request of the following 10 s was late or refused; None if never."""
    bad = sorted(
        [arrival for arrival, latency in outcome.latencies if arrival >= since and latency > _DEADLINE_S]
        + [arrival for arrival in outcome.refused if arrival >= since]
    )
    return round(bad[-1] - since, 1) if bad else 0.0


def _curve(outcome: Outcome, step: int) -> list[dict[str, float]]:
    """Return rate, p99 and replicas for every `step` seconds."""
    rows: list[dict[str, float]] = []
    for at, counts in outcome.replicas[::step]:
        latencies = sorted(latency for arrival, latency in outcome.latencies if at <= arrival < at + step)
        refused = sum(at <= arrival < at + step for arrival in outcome.refused)
        if latencies:
            p99 = latencies[min(int(0.99 * len(latencies)), len(latencies) - 1)]
            rows.append(
                {
                    "at_s": at,
                    "per_s": round((len(latencies) + refused) / step, 1),
                    "p99_ms": round(1e3 * p99),
                    "refused": refused,
                    "cores": counts["cores"],
                }
            )
    return rows


def _write(key: str, value: object) -> None:
    known = json.loads(_FILE.read_text()) if _FILE.is_file() else {}
    _FILE.write_text(json.dumps(known | {key: value}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    app()
