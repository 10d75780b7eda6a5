"""How many orchestrators there should be: as many as their calls in flight need.

Callers talk to an orchestrator's own gRPC server, past Serve's handles, so Serve cannot count their calls. Each
orchestrator reports them instead. Serve applies the bounds and delays of the `autoscaling_config` to the answer.
"""

from typing import TypeAlias

from ray.serve.config import AutoscalingContext

IN_FLIGHT = "mien_in_flight"
"""Name under which an orchestrator reports its calls in flight."""

POLICY = "mien_orchestrator.cluster.autoscaling:by_in_flight_calls"
"""Import path of the policy, for an `autoscaling_config`."""

PolicyState: TypeAlias = "dict[str, float]"


def by_in_flight_calls(context: AutoscalingContext) -> tuple[float, PolicyState]:
    """Return the number of replicas that the reported calls need, and no state; without a report, as many as now."""
    reports = (context.aggregated_metrics or {}).get(IN_FLIGHT)
    if not reports:
        return context.target_num_replicas, {}
    return sum(reports.values()) / context.config.target_ongoing_requests, {}
