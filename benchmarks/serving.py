"""Compare serving systems with the same photographs, detector and models.

python benchmarks/serving.py --photographs ../shared/photos
"""

import asyncio
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import numpy as np
import typer

import pictures
import weights
from answers import AnswerError
from environments import InstallError, install
from load import Photograph
from measurements import Machine, Picture, Results, Round, command
from mien_orchestrator.settings import DetectorSettings, Settings
from report import write_report
from session import Plan, Session, StartError, measure
from systems import HERE, SYSTEMS, System

FULL = Plan(in_flight=(1, 4, 16, 32), shares=(0.5, 0.8), passes=10, growth_passes=20, seed=7)
QUICK = Plan(in_flight=(1, 16), shares=(0.8,), passes=1, growth_passes=1, seed=7)

_DEFAULTS = DetectorSettings()
_NAMES = ",".join(system.name for system in SYSTEMS)
_ROUNDS = 5
_PHOTOGRAPHS = 24
_QUICK_PHOTOGRAPHS = 2

P = ParamSpec("P")
T = TypeVar("T")


def main(
    photographs: Annotated[Path | None, typer.Option(help="Folder; default: composed group images.")] = None,
    detector: Annotated[str, typer.Option(help="Detector of every system.")] = _DEFAULTS.name,
    systems: Annotated[str, typer.Option(help="Names, with commas.")] = _NAMES,
    rounds: Annotated[int, typer.Option(help="Sessions of each system, interleaved.", min=1)] = _ROUNDS,
    quick: Annotated[bool, typer.Option("--quick", help="One round of few requests, as a smoke test.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the results and the report.")] = None,
) -> None:
    """Measure every system in interleaved rounds and write the results, summary, tables and plot."""
    names = systems.split(",")
    if unknown := set(names) - {system.name for system in SYSTEMS}:
        raise typer.BadParameter(f"unknown system {', '.join(sorted(unknown))}; available: {_NAMES}")
    plan = QUICK if quick else FULL
    variables = environment(detector)
    asked, groups = _apart(variables, _pictures, photographs, plan, quick)
    results = Results(
        command=command(),
        quick=quick,
        detector=detector,
        seed=plan.seed,
        machine=Machine.here(),
        photographs=[Picture.of(photograph) for photograph in asked],
        groups=[Picture.of(group) for group in groups],
        left_out={},
        rounds=[],
        weights=weights.defaults(detector),
    )
    installed = [system for system in SYSTEMS if system.name in names and _installed(system, results)]
    logs = HERE.parent / "out" / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    for number in range(1 if quick else rounds):
        for index in np.random.default_rng([plan.seed, number]).permutation(len(installed)):
            system = installed[index]
            if system.name in results.left_out:
                continue
            typer.echo(f"round {number + 1}: {system.title}", err=True)
            try:
                session = _apart(variables, _session, system, asked, groups, plan, logs / f"{system.name}.log")
            except StartError as error:
                results.left_out[system.name] = str(error)
            except AnswerError as error:
                typer.echo(
                    f"{system.title} returned other predictions than the models: {error}; nothing was written", err=True
                )
                raise typer.Exit(1) from error
            else:
                results.rounds.append(Round(number, system.name, session))
        write_report(results, out or (HERE.parent / "out" / "bench" if quick else None))


def environment(detector: str) -> dict[str, str]:
    """Return the environment of every system: Mien's settings are those below and the defaults."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("MIEN_", "RAY_"))}
    paths = [str(HERE.parent / folder) for folder in ("client", "models", "orchestrator", "workers")]
    variables |= {
        "MIEN_DETECTOR__NAME": detector,
        "MIEN_DETECTOR__LONG_SIDE_PX": str(_DEFAULTS.long_side_px),
        "MIEN_LIMITS__MIN_FACE_PX": "0",  # every face gets predictions, from every system
        "MIEN_LIMITS__MIN_SHARPNESS": "0",
        "MIEN_DETECTOR__REDUCED_DECODING": "false",  # the peers decode at full size
        "MIEN_MODEL_STORE": str(HERE / ".venvs" / "no-store"),
        "PYTHONPATH": os.pathsep.join([str(HERE), *paths]),
        "RAY_USAGE_STATS_ENABLED": "0",
        "BENTOML_DO_NOT_TRACK": "1",
    }
    if detector == "yunet":
        file = Settings.load({"detector.name": detector}).detector_file
        if file is None:
            raise typer.BadParameter("YuNet is not installed; run `mien models fetch yunet`")
        variables["MIEN_DETECTOR__PATH"] = str(file.resolve())
    return variables


def _pictures(folder: Path | None, plan: Plan, quick: bool) -> tuple[list[Photograph], list[Photograph]]:
    count = _QUICK_PHOTOGRAPHS if quick else _PHOTOGRAPHS
    asked = pictures.choose(folder, count, plan.seed) if folder else pictures.compose(range(1, 11), plan.seed)
    if not asked:
        raise typer.BadParameter(f"{folder} contains no photograph with 1 to 10 faces")
    return asked[:count], pictures.compose(pictures.GROUPS, plan.seed)


def _session(
    system: System,
    photographs: Sequence[Photograph],
    groups: Sequence[Photograph],
    plan: Plan,
    log: Path,
) -> Session:
    return asyncio.run(measure(system, photographs, groups, plan, log))


def _installed(system: System, results: Results) -> bool:
    try:
        if system.kind == "peer":
            typer.echo(f"environment of {system.title}", err=True)
            install(system)
    except InstallError as error:
        results.left_out[system.name] = str(error)
    return system.name not in results.left_out


def _apart(environment: dict[str, str], function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Call a function in a new process, so that every session starts from the same state and has its own memory."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=_become, initargs=(environment,)) as pool:
        return pool.submit(function, *arguments, **named).result()


def _become(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


if __name__ == "__main__":
    typer.run(main)
