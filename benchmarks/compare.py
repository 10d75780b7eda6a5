"""Compare Mien with other systems for age, gender and emotion: speed in rounds, accuracy with one scoring.

python benchmarks/compare.py --shared ../shared --environments ENVIRONMENTS

Installs each system into its own environment, writes `benchmarks/results/alternatives.json` and generates
`docs/compare.md` from it. `--page` only generates the page.
"""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import weights
from alternatives import measuring, page, scoring, servers, steadiness
from alternatives.catalog import MIEN, SYSTEMS, Installed
from alternatives.driving import Answer, DriverError
from alternatives.installation import install, size_mib
from alternatives.results import Accuracy, Comparison
from alternatives.samples import PHOTOGRAPHS, SETS, read_photographs, write_samples
from environments import InstallError
from measurements import Machine, command

RESULT = Path(__file__).parent / "results" / "alternatives.json"
_CONSOLE = Console(stderr=True)


class Part(StrEnum):
    """Parts of the measurement, which are independent of each other."""

    SPEED = "speed"
    SERVERS = "servers"
    ACCURACY = "accuracy"
    STEADINESS = "steadiness"


def main(
    shared: Annotated[Path | None, typer.Option(envvar="MIEN_SHARED", help="Folder with data and photos.")] = None,
    environments: Annotated[Path | None, typer.Option(help="Folder for environments, pictures and logs.")] = None,
    rounds: Annotated[int, typer.Option(help="Rounds of the speed measurement.")] = 3,
    seed: Annotated[int, typer.Option(help="Seed of the choice of faces.")] = 7,
    part: Annotated[
        Part | None, typer.Option(help="Measure one part, and keep the other from the result file.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Systems to measure besides Mien; all by default.")] = None,
    page_only: Annotated[bool, typer.Option("--page", help="Only generate the page from the result file.")] = False,
) -> None:
    """Measure all systems and generate the page."""
    if not page_only:
        if shared is None or environments is None:
            raise typer.BadParameter("give --shared and --environments, or --page")
        _measure(shared, environments.resolve(), rounds, seed, part, only).write(RESULT)
    page.write(Comparison.read(RESULT))


def _measure(
    shared: Path, root: Path, rounds: int, seed: int, part: Part | None, only: Sequence[str] | None
) -> Comparison:
    names = [system.name for system in SYSTEMS]
    if unknown := set(only or ()) - set(names):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))} is unknown; use {', '.join(names)}")
    chosen = [system for system in SYSTEMS if system is MIEN or not only or system.name in only]
    result = Comparison([command()], seed, Machine.here(), weights.defaults("mien"), {}, {})
    if part and RESULT.is_file():
        earlier = Comparison.read(RESULT)
        if weights.changed(RESULT) or earlier.seed != seed:
            raise typer.BadParameter("the result file is of other weights or another seed: measure without --part")
        earlier.commands = [*dict.fromkeys([*earlier.commands, command()])]
        result = earlier
    systems = [installed for system in chosen if _install(installed := Installed(system, root), result)]
    if part in (Part.SPEED, None):
        _time(systems, shared, root, rounds, result)
    if part in (Part.SERVERS, None):
        _serve(systems, shared, root, rounds, result)
    if part in (Part.ACCURACY, None):
        _score(systems, shared, root, seed, result)
    if part in (Part.STEADINESS, None):
        _compare_frames(systems, shared, root, result)
    return result


def _install(installed: Installed, result: Comparison) -> bool:
    name = installed.system.name
    _CONSOLE.print(f"install {name}")
    try:
        install(installed)
    except InstallError as error:
        result.not_installed[name] = str(error)
        return False
    result.size_mib[name] = round(size_mib(installed), 1)
    return True


def _time(systems: list[Installed], shared: Path, root: Path, rounds: int, result: Comparison) -> None:
    groups = [(people, shared / "photos" / name) for people, name in PHOTOGRAPHS.items()]
    result.runs.clear()
    for index in range(rounds):
        turn = index % len(systems)
        for installed in [*systems[turn:], *systems[:turn]]:
            name = installed.system.name
            _CONSOLE.print(f"round {index + 1} of {rounds}: {name}")
            try:
                run, versions = measuring.run_once(index, installed, groups, root / f"{name}.log")
            except DriverError as error:
                result.not_installed[name] = str(error)
                continue
            result.runs.append(run)
            result.versions[name] = versions
        result.write(RESULT)  # so that an interrupted run leaves its complete rounds


def _serve(systems: list[Installed], shared: Path, root: Path, rounds: int, result: Comparison) -> None:
    installed = {item.system.name for item in systems}
    photograph = (shared / "photos" / PHOTOGRAPHS[1]).read_bytes()
    result.throughput.clear()
    for index in range(rounds):
        for server in servers.SERVERS:
            if server.system in installed:
                _CONSOLE.print(f"round {index + 1} of {rounds}: {server.title}")
                try:
                    result.throughput.append(servers.measure(server, root, index, photograph))
                except servers.ServerError as error:
                    result.not_installed[server.title] = str(error)


def _score(systems: list[Installed], shared: Path, root: Path, seed: int, result: Comparison) -> None:
    samples = write_samples(shared / "data", root / "samples", seed)
    photographs = read_photographs(shared / "photos")
    paths = [sample.path for sample in samples] + [photograph.path for photograph in photographs]
    found: dict[str, list[Answer]] = {}
    for installed in systems:
        name = installed.system.name
        if name not in result.not_installed and not installed.system.random_weights:
            _CONSOLE.print(f"answers of {name}")
            found[name] = measuring.answers(installed, paths, root / "answers", root / f"{name}-answers.log")
    outcomes = {name: scoring.outcomes(samples, answers[: len(samples)]) for name, answers in found.items()}
    by_data = {name: [index for index, sample in enumerate(samples) if sample.data == name] for name in SETS}
    for installed in systems:
        name = installed.system.name
        if name in found:
            answers = found[name]
            result.accuracy[name] = Accuracy(
                {
                    data: scoring.detection([samples[i] for i in indices], [answers[i] for i in indices])
                    for data, indices in by_data.items()
                },
                scoring.figures(outcomes[name], outcomes["mien"]),
                scoring.known_photographs(photographs, answers[len(samples) :]),
                sum(face.uncertain for i in by_data["fairface"] for face in answers[i].faces),
            )


def _compare_frames(systems: list[Installed], shared: Path, root: Path, result: Comparison) -> None:
    clips = steadiness.write_frames(shared / "photos", root / "clips")
    frames = [path for paths in clips.values() for path in paths]
    result.steadiness.clear()
    for installed in systems:
        name = installed.system.name
        if name in result.not_installed or installed.system.random_weights or not installed.system.tasks:
            continue
        _CONSOLE.print(f"frames by {name}")
        answers = iter(measuring.answers(installed, frames, root / "answers", root / f"{name}-frames.log"))
        result.steadiness[name] = {
            clip: steadiness.steadiness([next(answers) for _ in paths]) for clip, paths in clips.items()
        }
    result.steadiness[steadiness.STREAM] = {clip: steadiness.stream_steadiness(paths) for clip, paths in clips.items()}


if __name__ == "__main__":
    typer.run(main)
