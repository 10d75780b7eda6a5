"""Results in, files out: the results and their summary as JSON, tables as Markdown, a plot as SVG.

python benchmarks/report.py  # writes docs/benchmarks.md again, from the committed results
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from chart import Bar, draw
from load import Figures
from measurements import Results
from session import Session
from summary import IN_FLIGHT, PAPER_MS, SHARE, Spread, closed, cpu_ms_per_face, spread, summarize
from systems import HERE, SYSTEMS, System

RESULTS = HERE / "results"
DOCUMENTS = HERE.parent / "docs"

_RATIOS = {
    "single_over_floor": f"single over floor, throughput at {IN_FLIGHT} in flight",
    "cluster_over_single": f"cluster over single, throughput at {IN_FLIGHT} in flight",
    "cluster_cpu_over_single": f"cluster over single, CPU a request at {IN_FLIGHT} in flight",
    "cluster_p50_minus_single_ms": "cluster minus single, p50 at 1 in flight, ms",
    "single_over_best_peer": f"single over the round's best peer, throughput at {IN_FLIGHT} in flight",
    "cluster_over_plain_ray": f"cluster over plain Ray Serve, throughput at {IN_FLIGHT} in flight",
    "p99_over_p50": f"p99 over p50 at {SHARE:.0%} of capacity, the worse of single and cluster",
}


def write_report(results: Results, folder: Path | None = None) -> None:
    """Write everything into one folder, or to the places in the repository."""
    documents = folder or DOCUMENTS
    results.write((folder or RESULTS) / "systems.json")
    summary = summarize(results)
    (folder or RESULTS).joinpath("summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    (documents / "benchmarks.svg").write_text(_plot(results), encoding="utf-8")
    (documents / "benchmarks.md").write_text(_document(results, summary), encoding="utf-8")


def _plot(results: Results) -> str:
    bars = [
        Bar(system.title, system.kind, value)
        for system in SYSTEMS
        if (value := spread(results, system.name, lambda session: closed(session).requests_per_second))
    ]
    return draw(f"Requests a second, {IN_FLIGHT} in flight", bars)


def _document(results: Results, summary: dict[str, object]) -> str:
    parts = [
        "# What serving costs",
        "Made by `make bench`; the figures are in `benchmarks/results`. Every system runs the same detector and the "
        "same ONNX models through `mien_models` on the same photographs, and gave the same answers, before and during "
        "the measurement. A figure is the median over the rounds, the lowest and the highest in brackets.",
        *(["**A quick run: it shows that everything works, and measures nothing.**"] if results.quick else []),
        _conditions(results),
        "![Requests a second](benchmarks.svg)",
        "## Ratios",
        "Taken round by round.",
        _ratios(summary),
        f"## Closed loop, {IN_FLIGHT} in flight",
        _loop(results, lambda session: closed(session)),
        *(_other_loops(results)),
        "## Starting and memory",
        "From the start of the process to the first answer; resident memory of all processes after the session, shared "
        "pages counted once. The in-process systems' memory holds the load generator too.",
        _table(
            ["system", "first answer, s", "memory, MiB"],
            _rows(results, lambda session: session.first_answer_s, lambda session: session.memory_mib),
        ),
        "## CPU milliseconds a face, by the faces in the picture",
        "Composed pictures of one size, one call at once.",
        _growth(results),
        "## Against the paper",
        _paper(results),
        "## The systems",
        _systems(results),
    ]
    return "\n\n".join(parts) + "\n"


def _conditions(results: Results) -> str:
    machine = results.machine
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    rounds = len({item.round for item in results.rounds})
    faces = sorted(picture.faces for picture in results.photographs)
    return (
        f"{machine.processor}, {machine.cores} cores, {machine.memory_gib} GiB, {machine.system}, "
        f"Python {machine.python}, {packages}; load average {machine.load_average} at the start. "
        f"Detector `{results.detector}`, {rounds} rounds, {len(results.photographs)} photographs with {faces[0]} to "
        f"{faces[-1]} faces. The client runs in a process of its own on the same machine.\n\n"
        f"```sh\n{results.command}\n```"
    )


def _ratios(summary: dict[str, object]) -> str:
    found = {text: summary[name] for name, text in _RATIOS.items() if name in summary}
    return _table(
        ["figure", "median", "low", "high"],
        [
            [text, *(f"{value:.2f}" for value in figure.values())]
            for text, figure in found.items()
            if isinstance(figure, dict)
        ],
    )


def _other_loops(results: Results) -> Iterable[str]:
    runs = results.rounds[0].session.runs if results.rounds else ()
    for index, run in enumerate(runs):
        if run.load == "closed" and run.in_flight != IN_FLIGHT:
            yield f"## Closed loop, {run.in_flight} in flight"
            yield _loop(results, lambda session, i=index: session.runs[i])  # type: ignore[misc]
        elif run.share:
            yield f"## Open loop, {run.share:.0%} of the capacity"
            yield (
                "Poisson arrivals; the capacity is the best closed loop's throughput in the same session. Latency "
                "counts from the time at which a call was due."
            )
            yield _loop(results, lambda session, i=index: session.runs[i])  # type: ignore[misc]


def _loop(results: Results, run: Callable[[Session], Figures]) -> str:
    return _table(
        ["system", "requests/s", "faces/s", "p50, ms", "p95, ms", "p99, ms", "CPU ms a request", "errors"],
        _rows(
            results,
            lambda session: run(session).requests_per_second,
            lambda session: run(session).faces_per_second,
            lambda session: run(session).p50_ms,
            lambda session: run(session).p95_ms,
            lambda session: run(session).p99_ms,
            lambda session: run(session).cpu_ms_per_request,
            lambda session: sum(run(session).errors.values()),
        ),
    )


def _growth(results: Results) -> str:
    rows = []
    for system in _measured(results):
        by_faces = cpu_ms_per_face(results, system.name)
        rows.append([system.title, *(_cell(figure) for figure in by_faces.values())])
    return _table(["system", *(f"{picture.faces}" for picture in results.groups)], rows)


def _paper(results: Results) -> str:
    total = sum(PAPER_MS.values())
    parts = " + ".join(f"{value:.0f}" for value in PAPER_MS.values())
    text = f"The paper names {parts} = {total:.0f} ms a face for {', '.join(PAPER_MS)} on its Intel Core i5-4570"
    ours = spread(results, "single", lambda session: session.growth[0].p50_ms)
    if not ours:
        return f"{text}."
    return (
        f"{text}. Mien's single server takes {_cell(ours)} ms for the same three answers, decoding, detection and the "
        f"call included (p50, a picture of one face, one call at once), on {results.machine.cores} cores of an "
        f"{results.machine.processor}. The machines differ, and so do the networks."
    )


def _systems(results: Results) -> str:
    lines = [
        f"- **{system.title}**: " + (f"`{' '.join(system.words)}`" if system.words else "in the client's own process")
        for system in _measured(results)
    ]
    lines += [
        f"- **{system.title}**: not measured: {results.left_out[system.name]}"
        for system in SYSTEMS
        if system.name in results.left_out
    ]
    photographs = ", ".join(f"{picture.name} ({picture.faces})" for picture in results.photographs)
    return "\n".join(lines) + f"\n\nPhotographs, with the faces found: {photographs}."


def _measured(results: Results) -> list[System]:
    return [system for system in SYSTEMS if results.sessions(system.name)]


def _rows(results: Results, *figures: Callable[[Session], float]) -> list[list[str]]:
    return [
        [system.title, *(_cell(value) for figure in figures if (value := spread(results, system.name, figure)))]
        for system in _measured(results)
    ]


def _cell(value: Spread) -> str:
    digits = 0 if value.high >= 100 or value.high == 0 else 1
    texts = [f"{number:.{digits}f}" for number in (value.median, value.low, value.high)]
    return texts[0] if len(set(texts)) == 1 else f"{texts[0]} ({texts[1]} to {texts[2]})"


def _table(headings: list[str], rows: list[list[str]]) -> str:
    line = ["---", *("---:" for _ in headings[1:])]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [headings, line, *rows])


if __name__ == "__main__":
    write_report(Results.read(RESULTS / "systems.json"))
