"""Tests of the simulated cluster: against queueing theory, against Ray Serve's delays, and of what it never loses."""

import math
import random
from dataclasses import replace

import pytest
from ray.serve.autoscaling_policy import _apply_delay_logic
from ray.serve.config import AutoscalingConfig

from mien_orchestrator.settings.scaling import ScalingSettings
from simulation import ClusterSpec, Delays, Outcome, Photograph, PoolSpec, Simulation

ONE = ScalingSettings(min_replicas=1, max_replicas=1)


def _cluster(*workers: PoolSpec, cores: int = 1, limit: int = 1_000_000, scaling: ScalingSettings = ONE) -> ClusterSpec:
    front = PoolSpec("orchestrator", scaling, cores=cores, limit=limit)
    return ClusterSpec(front, workers, start_s=5, deadline_s=2)


def _run(spec: ClusterSpec, photo: Photograph, rate: float, seconds: float, seed: int = 0) -> Outcome:
    return Simulation(spec, [photo], lambda _: rate, seed=seed).run(seconds, peak=rate)


def _mean(outcome: Outcome) -> float:
    return sum(latency for _, latency in outcome.latencies) / len(outcome.latencies)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_one_core_with_equal_work_waits_as_pollaczek_and_khinchine_compute(load: float) -> None:
    outcome = _run(_cluster(), Photograph(0.01, 0), load / 0.01, 600)
    assert _mean(outcome) == pytest.approx(0.01 + load * 0.01 / (2 * (1 - load)), rel=0.08)


def test_work_of_very_different_lengths_waits_longer() -> None:
    photos = [Photograph(0.002, 0)] * 9 + [Photograph(0.082, 0)]
    outcome = Simulation(_cluster(), photos, lambda _: 60.0, seed=1).run(1500, peak=60)
    second_moment = (9 * 0.002**2 + 0.082**2) / 10
    assert _mean(outcome) == pytest.approx(0.01 + 60 * second_moment / (2 * (1 - 0.6)), rel=0.1)


def test_two_cores_of_a_replica_share_one_queue() -> None:
    outcome = _run(_cluster(cores=2), Photograph(0.02, 0), 0.9 / 0.02, 300)
    assert _mean(outcome) < 0.02 * 1.4  # 1.13 by theory; with one core of that load 5.5
    assert outcome.quantile(0.0) == pytest.approx(0.02)


def test_a_request_ends_with_its_slowest_worker() -> None:
    workers = (PoolSpec("fast", ONE, call_s=0.001, face_s=0.001), PoolSpec("slow", ONE, call_s=0.01, face_s=0.02))
    outcome = _run(_cluster(*workers), Photograph(0.005, 3), 0.1, 100)
    assert outcome.quantile(0.5) == pytest.approx(0.005 + 0.01 + 3 * 0.02)


def test_calls_that_wait_run_as_one_batch() -> None:
    worker = PoolSpec("worker", ONE, call_s=0.1, face_s=0.001)  # 9.9 calls a second one by one
    outcome = _run(_cluster(worker), Photograph(0.001, 1), 40, 120)
    assert outcome.quantile(0.99) < 0.4


def test_every_request_is_answered_or_refused() -> None:
    scaling = ScalingSettings(min_replicas=3, max_replicas=6, target_ongoing_requests=2)
    spec = _cluster(PoolSpec("worker", scaling, face_s=0.02), limit=8, scaling=scaling)
    simulation = Simulation(spec, [Photograph(0.03, 2)], lambda _: 120.0, seed=3)
    outcome = simulation.run(60, peak=120, lose=(20, 0.5))
    assert len(outcome.latencies) + len(outcome.refused) == pytest.approx(7200, rel=0.08)
    assert len({arrival for arrival, _ in outcome.latencies}) == len(outcome.latencies)
    assert outcome.refused
    assert all(not pool.replicas[0].in_flight for pool in simulation._pools)


def test_more_load_brings_replicas_and_less_takes_them_away() -> None:
    scaling = ScalingSettings(min_replicas=1, max_replicas=8, target_ongoing_requests=2, downscale_delay_s=20)
    spec = _cluster(scaling=scaling)
    rates = Simulation(spec, [Photograph(0.05, 0)], lambda now: 5.0 if not 60 <= now < 180 else 80.0, seed=0)
    counts = {round(at): row["orchestrator"] for at, row in rates.run(400, peak=80).replicas}
    assert counts[50] == 1
    assert counts[170] >= 4
    assert counts[399] == 1


def test_the_same_seed_gives_the_same_run() -> None:
    spec = _cluster(PoolSpec("worker", ONE, face_s=0.01))
    first, again = (_run(spec, Photograph(0.01, 2), 30, 30, seed=5).latencies for _ in range(2))
    assert first == again
    assert _run(spec, Photograph(0.01, 2), 30, 30, seed=6).latencies != first


@pytest.mark.parametrize("seed", range(8))
def test_the_delays_are_those_of_ray_serve(seed: int) -> None:
    draw = random.Random(seed)
    scaling = ScalingSettings(min_replicas=0, max_replicas=9, upscale_delay_s=3, downscale_delay_s=7)
    config = AutoscalingConfig(min_replicas=0, max_replicas=9, upscale_delay_s=3, downscale_delay_s=7)
    delays, state = Delays(scaling), {}
    ours = theirs = 3
    wanted = 3
    for now in range(300):
        if draw.random() < 0.2:
            wanted = draw.randint(0, 9)
        ours = delays.target(wanted, ours, now)
        if theirs == 0 and wanted > 0:
            theirs = wanted  # Serve starts the first replica without delay
        else:
            theirs, state = _apply_delay_logic(wanted, theirs, config, state, _now=float(now))
        assert ours == theirs, now


def test_a_quantile_of_no_request_is_not_a_number() -> None:
    assert math.isnan(Outcome().quantile(0.5))


def test_a_refusing_cluster_answers_those_it_admits_in_time() -> None:
    spec = replace(_cluster(limit=4), deadline_s=1)
    outcome = _run(spec, Photograph(0.1, 0), 50, 60)
    assert outcome.late(0.5) == 0
    assert len(outcome.latencies) == pytest.approx(600, abs=20)  # the core's capacity
