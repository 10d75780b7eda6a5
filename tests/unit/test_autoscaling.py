"""Tests of the orchestrators' autoscaling policy."""

from collections.abc import Mapping

import pytest
from ray.serve.config import AutoscalingConfig, AutoscalingContext, AutoscalingPolicy

from mien_orchestrator.cluster.autoscaling import IN_FLIGHT, POLICY, by_in_flight_calls


def context(reports: Mapping[str, float] | None, *, replicas: int = 2, target: float = 4) -> AutoscalingContext:
    """Return what Serve hands to a policy."""
    return AutoscalingContext(
        deployment_id=None,
        deployment_name="orchestrator",
        app_name="mien",
        current_num_replicas=replicas,
        target_num_replicas=replicas,
        running_replicas=[],
        total_num_requests=0,
        total_queued_requests=0,
        aggregated_metrics=None if reports is None else {IN_FLIGHT: reports},
        raw_metrics=None,
        capacity_adjusted_min_replicas=1,
        capacity_adjusted_max_replicas=9,
        policy_state={},
        last_scale_up_time=None,
        last_scale_down_time=None,
        current_time=0,
        config=AutoscalingConfig(target_ongoing_requests=target),
    )


@pytest.mark.parametrize(
    ("reports", "wanted"),
    [({"a": 8, "b": 12}, 5), ({"a": 0, "b": 0}, 0), ({"a": 3}, 0.75), ({}, 2), (None, 2)],
    ids=["busy", "idle", "one", "no report", "no metrics"],
)
def test_replicas_follow_the_calls_in_flight(reports: Mapping[str, float] | None, wanted: float) -> None:
    assert by_in_flight_calls(context(reports)) == (wanted, {})


def test_serve_finds_the_policy_by_its_import_path() -> None:
    assert AutoscalingPolicy(policy_function=POLICY).policy_function == POLICY
