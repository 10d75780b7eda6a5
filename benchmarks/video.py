"""Measure streams beside frame-by-frame calls on the same frames: speed, CPU, flicker, identity, live streams.

python benchmarks/video.py --photographs ../shared/photos --clips CLIPS --out benchmarks/results/video.json

CLIPS is a folder of rendered clips with their truth (NAME.mp4, NAME.txt in MOT format, NAME.json). The server is
`mien serve --inline`, a process of its own, whose CPU time alone is counted. Frame-by-frame calls are `Client.analyze`
on the same JPEG frames, one in flight. Speed is measured in interleaved rounds, and the ratios within each round, since
other processes of the machine affect both.
"""

import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import psutil
import typer

import mien
import weights
from video_clips import Clip, change, pan, rendered
from video_metrics import Boxes, flips, identity, jain, scatter

STREAMS, LIVE_FPS = 16, 15.0
"""Live streams at the same time, and frames per second of each."""

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "astronaut.jpg"
EXAMPLE_FACE = (199.0, 65.0, 80.0, 110.0)
CREW = "nasa/STS-106.jpg"
"""Seven faces."""

CHANGES = ("nasa/Carl_Walz.jpg", "nasa/Stephen_Frick.jpg")
"""Two frontal faces with different expressions."""

CHANGED_AT = 50
"""Frame from which the second one is shown."""

PORTRAITS = {
    "public_domain/whitehouse_obama.jpg": 247.0,
    "nasa/Kate_Rubins.jpg": 108.0,
    "nasa/Julie_Payette.jpg": 130.0,
    "nasa/Carl_Walz.jpg": 168.0,
}
"""Photographs and the height of the face in the clip, in pixels."""


def main(
    photographs: Annotated[Path, typer.Option(help="Folder of photographs with faces.csv.")],
    clips: Annotated[Path, typer.Option(help="Folder of rendered clips with their truth.")],
    out: Annotated[Path, typer.Option(help="Result file.")],
    frames: Annotated[int, typer.Option(help="Frames of each pan.")] = 300,
    rounds: Annotated[int, typer.Option(help="Rounds of the speed measurement.")] = 3,
    live_seconds: Annotated[float, typer.Option(help="Length of the live streams, in seconds.")] = 20,
    soak_minutes: Annotated[float, typer.Option(help="Length of the live streams for memory, in minutes.")] = 10,
) -> None:
    """Measure and write the result file."""
    with tempfile.TemporaryDirectory() as folder:
        pans = _pans(photographs, Path(folder), frames)
    one, seven = pans[0], next(clip for clip in pans if clip.name == Path(CREW).stem)
    with serve() as (address, process), mien.Client(address, timeout=60) as client:
        speed = {name: _speed(client, process, clip, rounds) for name, clip in (("one face", one), ("seven", seven))}
        print(json.dumps(speed, indent=1))
        steady = {clip.name: _flicker(client, clip) for clip in pans}
        print(json.dumps(steady, indent=1))
        followed = {clip.name: _identity(client, clip) for clip in rendered(clips)}
        print(json.dumps(followed, indent=1))
        lag = _lag(client, photographs)
        print(json.dumps(lag, indent=1))
        live = _live(address, process, one, live_seconds)
        print(json.dumps(live, indent=1))
        soak = _soak(address, process, one, soak_minutes)
        print(json.dumps(soak, indent=1))
    result = {
        "command": "make bench-video PHOTOS=FOLDER CLIPS=FOLDER",
        "load_average": round(os.getloadavg()[2], 1),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"cpus": os.cpu_count(), "processor": _processor(), "python": platform.python_version()},
        "settings": {"frames": frames, "rounds": rounds, "live_seconds": live_seconds},
        "weights": weights.defaults("mien"),
        "speed": speed,
        "steadiness": steady,
        "identity": followed,
        "lag": lag,
        "live": live,
        "soak": soak,
    }
    out.write_text(json.dumps(result, indent=1) + "\n")


def _pans(photographs: Path, folder: Path, count: int) -> list[Clip]:
    with (photographs / "faces.csv").open(newline="") as file:
        boxes = {row["file"]: [float(row[key]) for key in "xywh"] for row in csv.DictReader(file)}
    found = [pan(EXAMPLE, folder, count=count, face=EXAMPLE_FACE)]
    for name, height in PORTRAITS.items():
        found.append(pan(photographs / name, folder, count=count, face=boxes[name], height=height))
    return [*found, pan(photographs / CREW, folder, count=count)]


@contextmanager
def serve() -> Iterator[tuple[str, psutil.Process]]:
    """Run a single server; yield its address and process."""
    command = [Path(sys.executable).parent / "mien", "serve", "--inline", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        try:
            yield line.rpartition(" ")[2].strip(), psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(60)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _speed(client: mien.Client, process: psutil.Process, clip: Clip, rounds: int) -> dict[str, object]:
    """Return frames per second and CPU milliseconds per frame of both, and the medians of the rounds' ratios."""
    measured = []
    unary_frames = clip.frames[:100]
    for number in range(rounds + 1):
        cpu, began = _cpu(process), time.perf_counter()
        for frame in unary_frames:
            client.analyze(frame)
        unary = len(unary_frames) / (time.perf_counter() - began)
        unary_cpu = (_cpu(process) - cpu) / len(unary_frames) * 1e3
        cpu, began = _cpu(process), time.perf_counter()
        results = list(client.stream(clip.frames, frame_rate=clip.fps))
        stream = (len(results) - 1) / (time.perf_counter() - began)
        stream_cpu = (_cpu(process) - cpu) / (len(results) - 1) * 1e3
        if number:  # the first one is a warm-up
            measured.append((unary, stream, unary_cpu, stream_cpu))
    columns = list(zip(*measured, strict=True))
    return {
        "faces": int(median(len(result.faces) for result in results[:-1])),
        "unary_fps": round(median(columns[0]), 1),
        "stream_fps": round(median(columns[1]), 1),
        "fps_ratio": round(median(s / u for u, s, _, _ in measured), 2),
        "unary_cpu_ms": round(median(columns[2]), 1),
        "stream_cpu_ms": round(median(columns[3]), 1),
        "cpu_ratio": round(median(s / u for _, _, u, s in measured), 3),
    }


def _box(face: mien.Face) -> np.ndarray:
    return np.array([face.box.x, face.box.y, face.box.width, face.box.height])


def _flicker(client: mien.Client, clip: Clip) -> list[dict[str, object]]:
    """Return the flicker of each steady track, beside that of the unary answers for the same face."""
    results = list(client.stream(clip.frames, frame_rate=clip.fps))[:-1]
    single = [client.analyze(frame).faces for frame in clip.frames]
    rows = []
    for track in sorted({face.track_id for result in results for face in result.faces}):
        seen = [(n, face) for n, result in enumerate(results) for face in result.faces if face.track_id == track]
        if len(seen) < len(results) / 2:
            continue
        alone = [face for n, tracked in seen if (face := _nearest(tracked.face, single[n])) is not None]
        faces = [tracked.face for _, tracked in seen]
        rows.append(
            {
                "height_px": round(median(face.box.height for face in faces)),
                "frames": len(seen),
                "stream": _row(faces, [tracked.emotion for _, tracked in seen]),
                "unary": _row(alone, [face.emotion.label if face.emotion else None for face in alone]),
            }
        )
    return rows


def _nearest(face: mien.Face, others: Sequence[mien.Face]) -> mien.Face | None:
    middle = _box(face)[:2] + _box(face)[2:] / 2
    best = min(others, key=lambda other: np.linalg.norm(_box(other)[:2] + _box(other)[2:] / 2 - middle), default=None)
    if best is None or np.linalg.norm(_box(best)[:2] + _box(best)[2:] / 2 - middle) > face.box.height / 2:
        return None
    return best


def _row(faces: Sequence[mien.Face], emotions: Sequence[str | None]) -> dict[str, float | None]:
    """Return flips per 100 frames and the scatter of the age. Two genders flip; `with_uncertain` counts all changes."""
    values = [face.gender.value if face.gender else None for face in faces]
    bare = [
        None if face.gender is None else "male" if face.gender.male_probability >= 0.5 else "female" for face in faces
    ]
    age = scatter([face.age.years if face.age else None for face in faces])
    return {
        "gender_flips": round(flips([None if value == "uncertain" else value for value in values]), 2),
        "gender_changes_with_uncertain": round(flips(values), 2),
        "more_probable_gender_flips": round(flips(bare), 2),
        "emotion_flips": round(flips(emotions), 2),
        "mood_flips": round(flips([face.mood.label if face.mood else None for face in faces]), 2),
        "age_std": None if age is None else round(age, 2),
    }


def _identity(client: mien.Client, clip: Clip) -> dict[str, object]:
    results = list(client.stream(clip.frames, frame_rate=clip.fps))[:-1]
    found: list[Boxes] = [{face.track_id: _box(face.face) for face in result.faces} for result in results]
    assert clip.truth
    measured = identity(clip.truth, found)
    return {
        "idf1": round(measured.idf1, 3),
        "switches": measured.switches,
        "tracks": measured.tracks,
        "people": len({face for frame in clip.truth.visible for face in frame}),
        "cuts_found": [result.frame_id for result in results if result.cut],
        "cuts": list(clip.cuts),
        "detected_share": round(float(np.mean([result.detected for result in results])), 2),
    }


def _lag(client: mien.Client, photographs: Path) -> list[dict[str, object]]:
    """Return the time from a change of expression until the label is the new one and stays."""
    with tempfile.TemporaryDirectory() as folder:
        pans = [pan(photographs / name, Path(folder), count=100, face=_box_of(photographs, name)) for name in CHANGES]
        clips = [change(pans[0], pans[1], CHANGED_AT), change(pans[1], pans[0], CHANGED_AT)]
    rows: list[dict[str, object]] = []
    for clip in clips:
        results = list(client.stream(clip.frames, frame_rate=clip.fps))[:-1]
        labels = [result.faces[0].emotion if len(result.faces) == 1 else None for result in results]
        old, new = labels[CHANGED_AT - 1], labels[-1]
        first = next((n for n in range(CHANGED_AT, len(labels)) if set(labels[n:]) == {new}), None)
        rows.append(
            {
                "clip": clip.name,
                "labels": [old, new],
                "tracks": len({face.track_id for result in results for face in result.faces}),
                "lag_ms": None if first is None or old == new else round((first - CHANGED_AT) * 1e3 / clip.fps),
            }
        )
    return rows


def _box_of(photographs: Path, name: str) -> list[float]:
    with (photographs / "faces.csv").open(newline="") as file:
        return next([float(row[key]) for key in "xywh"] for row in csv.DictReader(file) if row["file"] == name)


def _live(address: str, process: psutil.Process, clip: Clip, seconds: float) -> dict[str, object]:
    """Send live streams; return the delay from sending a frame to its result, and the drops and their fairness."""
    count = int(seconds * LIVE_FPS)
    start = threading.Barrier(STREAMS)

    def one(number: int) -> tuple[list[float], int, int]:
        sent: dict[int, float] = {}

        def frames() -> Iterator[mien.Frame]:
            start.wait()
            began = time.monotonic() + number / STREAMS / LIVE_FPS
            for index in range(count):
                time.sleep(max(0.0, began + index / LIVE_FPS - time.monotonic()))
                sent[index] = time.monotonic()
                yield mien.Frame(clip.frames[index % len(clip.frames)], index * 1e3 / LIVE_FPS, index)

        delays, dropped = [], 0
        with mien.Client(address, timeout=60) as client:
            for result in client.stream(frames(), drop_policy="latest"):
                dropped += result.dropped_frames
                if result.frame_id is not None:
                    delays.append((time.monotonic() - sent[result.frame_id]) * 1e3)
        return delays, len(delays), dropped

    memory = process.memory_info().rss
    cpu, began = _cpu(process), time.perf_counter()
    with ThreadPoolExecutor(STREAMS) as pool:
        streams = list(pool.map(one, range(STREAMS)))
    elapsed = time.perf_counter() - began
    delays = [delay for stream, _, _ in streams for delay in stream]
    answered = [done for _, done, _ in streams]
    return {
        "streams": STREAMS,
        "fps_of_each": LIVE_FPS,
        "frames_sent": STREAMS * count,
        "frames_answered": sum(answered),
        "frames_dropped": sum(dropped for _, _, dropped in streams),
        "delay_ms_p50": round(float(np.percentile(delays, 50)), 1),
        "delay_ms_p95": round(float(np.percentile(delays, 95)), 1),
        "delay_frame_times_p95": round(float(np.percentile(delays, 95)) * LIVE_FPS / 1e3, 2),
        "jain": round(jain([float(done) for done in answered]), 4),
        "server_cpus": round((_cpu(process) - cpu) / elapsed, 2),
        "memory_growth_mib": round((process.memory_info().rss - memory) / 2**20, 1),
    }


def _soak(address: str, process: psutil.Process, clip: Clip, minutes: float) -> dict[str, object]:
    """Send the live streams for minutes; return the server's memory after a fifth of the time, and its growth."""
    samples: list[float] = []
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(5):
            samples.append(process.memory_info().rss / 2**20)

    watcher = threading.Thread(target=sample)
    watcher.start()
    try:
        live = _live(address, process, clip, minutes * 60)
    finally:
        ended.set()
        watcher.join()
    after = samples[len(samples) // 5 :]
    part = max(1, len(after) // 5)
    first, last = median(after[:part]), median(after[-part:])
    return {
        "minutes": minutes,
        "frames_answered": live["frames_answered"],
        "frames_dropped": live["frames_dropped"],
        "memory_mib": round(first, 1),
        "growth_percent": round(100 * (last / first - 1), 1),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    typer.run(main)
