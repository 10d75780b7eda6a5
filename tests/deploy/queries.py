"""The Prometheus queries of the alerts and the dashboard."""

import json
import re
from collections.abc import Iterator

import yaml

from tests.deploy.manifests import K8S

_FOLDER = K8S / "components" / "monitoring"


def expressions() -> Iterator[str]:
    """Iterate over every query of the alerts and the dashboard."""
    for group in yaml.safe_load((_FOLDER / "alerts.yaml").read_text())["spec"]["groups"]:
        yield from (rule["expr"] for rule in group["rules"])
    for panel in json.loads((_FOLDER / "dashboard.json").read_text())["panels"]:
        yield from (target["expr"] for target in panel["targets"])


def metric_names() -> set[str]:
    """Return the names of the metrics in the queries."""
    return {name for query in expressions() for name in re.findall(r"\b(?:ray|grpc_server|mien)_\w+", query)}
