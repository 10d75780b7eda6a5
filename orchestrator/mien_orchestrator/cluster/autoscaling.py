"""Autoscaling policy of the orchestrators: the number of replicas follows the calls in flight.

Clients call an orchestrator's own gRPC server and bypass Serve's handles, so Serve cannot count the calls. Each
orchestrator reports them instead. Serve applies the bounds and delays of the `autoscaling_config` to the result.
"""

from typing import TypeAlias

from ray.serve.config import AutoscalingContext

IN_FLIGHT = "mien_in_flight"
"""Name of the metric of calls in flight."""

POLICY = "mien_orchestrator.cluster.autoscaling:by_in_flight_calls"
"""Import path of the policy, for an `autoscaling_config`."""

PolicyState: TypeAlias = "dict[str, float]"


def by_in_flight_calls(context: AutoscalingContext) -> tuple[float, PolicyState]:
    """Return the number of replicas for the reported calls, and no state; without reports, the current number."""
    reports = (context.aggregated_metrics or {}).get(IN_FLIGHT)
    if not reports:
        return context.target_num_replicas, {}
    return sum(reports.values()) / context.config.target_ongoing_requests, {}
