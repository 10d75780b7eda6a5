"""Rollouts under load: a canary and a shadow begin, the canary is promoted, and another one is removed.

python benchmarks/rollout.py --out benchmarks/results/rollout.json

Callers of the SDK with its default settings keep a number of calls in flight. The settings file changes and the server
reloads it while they go on; a call fails if it raises or lacks the answer of a task. The table of `docs/rollouts.md` is
made from the result file. Deployment modes that are not run keep their previous results in the file.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml

import mien
import weights
from measurements import Machine, command
from soak import MODES, serving

STABLE, CANARY, SHADOW, REMOVED = "mien-emotion", "mien-emotion-fer2013", "mini-xception-emotion", "ssrnet-age"

PAGE = Path(__file__).parent.parent / "docs" / "rollouts.md"
_BEGIN, _END = "<!-- measured: begin -->\n", "<!-- measured: end -->"
_PORTRAIT = Path(__file__).parent.parent / "examples" / "astronaut.jpg"
_SHARE = 0.1
_RELOAD_SECONDS = 120.0
_AGREEING = 8
"""Replies in a row, each over a new connection to any orchestrator, that must have the new settings."""


@dataclass(slots=True)
class Calls:
    """The calls of all callers, by the phase in which they were begun."""

    phase: str = "without"
    seconds: dict[str, list[float]] = field(default_factory=dict)
    models: dict[str, Counter[str]] = field(default_factory=dict)
    """Models that answered the emotion and the age."""
    failures: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, address: str) -> None:
        """Call until the end."""
        image = _PORTRAIT.read_bytes()
        with mien.Client(address) as client:
            while not self.stopped.is_set():
                phase, began = self.phase, time.perf_counter()
                try:
                    analysis = client.analyze(image)
                    missing = [task.task for task in analysis.tasks if not task.ok]
                    outcome = f"without {', '.join(missing)}" if missing else ""
                    names = [task.model.name for task in analysis.tasks if task.model and task.task != "gender"]
                except mien.MienError as error:
                    outcome, names = error.reason or type(error).__name__, []
                with self.lock:
                    self.seconds.setdefault(phase, []).append(time.perf_counter() - began)
                    self.models.setdefault(phase, Counter()).update(names)
                    if outcome:
                        self.failures[f"{phase}: {outcome}"] += 1


def main(
    out: Annotated[Path, typer.Option(help="Result file.")],
    seconds: Annotated[float, typer.Option(help="Seconds of the canary and the shadow.")] = 120,
    others: Annotated[float, typer.Option(help="Seconds of the other phases.")] = 20,
    in_flight: Annotated[int, typer.Option(help="Callers at once.")] = 16,
    mode: Annotated[list[str] | None, typer.Option(help="Deployment modes; default: single.")] = None,
) -> None:
    """Measure, and write the results and the table of the page."""
    document = json.loads(out.read_text()) if out.exists() else {"modes": {}}
    document |= {"command": command(), "weights": _weights()}
    for name in mode or ["single"]:
        machine = Machine.here()
        document["modes"][name] = {
            "processor": machine.processor,
            "cores": machine.cores,
            "load_average_before": machine.load_average,
            "in_flight": in_flight,
            "share": _SHARE,
            **_measure(name, in_flight, seconds, others),
        }
        out.write_text(json.dumps(document, indent=1) + "\n")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), document), encoding="utf-8")


def _weights() -> dict[str, str]:
    shipped = weights.shipped()
    return weights.defaults("mien") | {name: shipped[name] for name in (CANARY, SHADOW, REMOVED)}


def _measure(mode: str, in_flight: int, seconds: float, others: float) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "mien.yaml"
        base = {"server": {"pid_file": f"{folder}/pid"}}
        if mode == "cluster":
            two = {"scaling": {"min_replicas": 2, "max_replicas": 2}}
            base |= {"orchestrator": two, "tasks": {task: dict(two) for task in ("age", "gender", "emotion")}}
        config.write_text(yaml.safe_dump(base))
        with serving("--config", str(config), *MODES[mode]) as (pid, address):
            calls = Calls()
            threads = [threading.Thread(target=calls.run, args=(address,)) for _ in range(in_flight)]
            for thread in threads:
                thread.start()
            try:
                return _phases(calls, Steps(config, address, pid), seconds, others)
            finally:
                calls.stopped.set()
                for thread in threads:
                    thread.join()


@dataclass(frozen=True, slots=True)
class Steps:
    """The changes of a server's settings; each returns once the server has them."""

    config: Path
    address: str
    pid: int

    def begin(self, task: str, rollout: dict[str, object], model: str) -> None:
        """Add a canary or shadow to the file, and send SIGHUP."""
        settings = yaml.safe_load(self.config.read_text())
        settings.setdefault("tasks", {}).setdefault(task, {}).update(rollout)
        self.config.write_text(yaml.safe_dump(settings))
        os.kill(self.pid, signal.SIGHUP)
        self.wait(lambda info: task in info.rollouts and _canary(info.rollouts[task]) == model)

    def command(self, action: str, task: str, model: str) -> None:
        """Run `mien rollout`."""
        self.run("rollout", action, task, "--config", str(self.config))
        self.wait(lambda info: info.models[task].name == model)

    def run(self, *arguments: str) -> None:
        """Run `mien`; the port of the server is not that of its file."""
        port = self.address.rpartition(":")[2]
        environment = {**os.environ, "MIEN_SERVER__PORT": port}
        subprocess.run([Path(sys.executable).parent / "mien", *arguments], check=True, env=environment)

    def wait(self, done: Callable[[mien.ServerInfo], bool]) -> None:
        """Wait until the server's description is as it should be."""
        deadline = time.monotonic() + _RELOAD_SECONDS
        agreeing = 0
        while agreeing < _AGREEING:
            with mien.Client(self.address) as client:
                agreeing = agreeing + 1 if done(client.server_info()) else 0
            if time.monotonic() > deadline:
                raise SystemExit("the server does not have the changed settings")
            time.sleep(0.1)


def _canary(rollout: mien.Rollout) -> str | None:
    return rollout.canary.model.name if rollout.canary else None


def _phases(calls: Calls, steps: Steps, seconds: float, others: float) -> dict[str, object]:
    durations = {}

    def change(name: str, step: Callable[[], None], then: str, pause: float) -> None:
        began = time.monotonic()
        calls.phase = f"changing to {then}"
        step()
        durations[name] = round(time.monotonic() - began, 1)
        calls.phase = then
        time.sleep(pause)

    time.sleep(others)
    shares = {"canary": {"model": CANARY, "share": _SHARE}, "shadow": {"model": SHADOW, "share": _SHARE}}
    change("begin", lambda: steps.begin("emotion", shares, CANARY), "rollout", seconds)
    with mien.Client(steps.address) as client:
        rollout = client.server_info().rollouts["emotion"]
    change("promote", lambda: steps.command("promote", "emotion", CANARY), "promoted", others)
    second = {"canary": {"model": REMOVED, "share": _SHARE}}
    change("begin again", lambda: steps.begin("age", second, REMOVED), "second canary", others)
    change("abort", lambda: steps.command("abort", "age", "mien-age-gender"), "aborted", others)
    calls.stopped.set()
    with calls.lock:
        return {
            "phases": {name: _phase(calls, name) for name in calls.seconds},
            "failures": dict(calls.failures),
            "change_seconds": durations,
            "shadow": _shadow(rollout),
        }


def _phase(calls: Calls, name: str) -> dict[str, object]:
    times = np.array(calls.seconds[name]) * 1e3
    return {
        "calls": len(times),
        "p50_ms": round(float(np.percentile(times, 50)), 1),
        "p99_ms": round(float(np.percentile(times, 99)), 1),
        "longest_ms": round(float(times.max()), 1),
        "models": dict(calls.models[name]),
    }


def _shadow(rollout: mien.Rollout) -> dict[str, object]:
    """Return the figures of the process that replied."""
    if not rollout.shadow or not rollout.comparison:
        raise SystemExit("the server has no shadow")
    compared = rollout.comparison
    return {
        "requests": rollout.shadow.requests,
        "errors": rollout.shadow.errors,
        "faces": compared.faces,
        "dropped_requests": compared.dropped_requests,
        "differing_labels": compared.differing_labels,
    }


def canary_share(result: dict[str, Any]) -> float:
    """Return the measured share of the canary of the emotion."""
    models = result["phases"]["rollout"]["models"]
    return float(models.get(CANARY, 0) / (models.get(CANARY, 0) + models.get(STABLE, 0)))


def page(text: str, document: dict[str, Any]) -> str:
    """Return the page with the results between its marks."""
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    parts = [_section(mode, result) for mode, result in document["modes"].items()]
    return before + _BEGIN + "\n".join(parts) + _END + after


def _section(mode: str, result: dict[str, Any]) -> str:
    shadow, changes = result["shadow"], result["change_seconds"]
    total = sum(phase["calls"] for phase in result["phases"].values())
    differing = shadow["differing_labels"] or 0
    lines = [
        f"Mode *{mode}*, {result['in_flight']} calls in flight, {result['cores']} cores with other load (load average "
        f"{result['load_average_before']} before, so times say little; they are in the result file):",
        "",
        "| | |",
        "| --- | ---: |",
        f"| calls, in all phases | {total:,} |",
        f"| failed calls | {sum(result['failures'].values())} |",
        f"| calls with canary and shadow | {result['phases']['rollout']['calls']:,} |",
        f"| share of the canary, set to {result['share']:.0%} | {canary_share(result):.1%} |",
        f"| faces compared with the shadow, of the process that replied | {shadow['faces']:,} |",
        f"| of these (all of one photograph) with another emotion | {differing:.0%} |",
        f"| requests that the shadow dropped | {shadow['dropped_requests']:,} |",
        f"| time of `mien rollout promote`, until the server had it | {changes['promote']} s |",
        f"| time of `mien rollout abort` | {changes['abort']} s |",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
