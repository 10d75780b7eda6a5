"""Tests of `client video` on real files: JSON, annotated videos, plots, tables, bad files, Ctrl-C."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mien.cli.video.reading import LONGEST_SIDE, opened
from mien.errors import InvalidRequestError
from tests.moving_faces import FACE, pan
from tests.videos import rotate, write, write_sound

FRAMES = 15
CLIENT = Path(sys.executable).parent / "client"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("video") / "clip.mp4", pan(FRAMES))


def client(*words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    result = subprocess.run([CLIENT, "video", *words], capture_output=True, text=True, check=False)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result


def test_json_has_one_line_per_frame_with_the_fields_of_an_analysis(clip: Path) -> None:
    *frames, last = [json.loads(line) for line in client(clip, "--json").stdout.splitlines()]
    assert [line["frame"] for line in frames] == list(range(FRAMES))
    assert [line["timestamp_ms"] for line in frames] == [40.0 * number for number in range(FRAMES)]
    (face,) = frames[3]["faces"]
    assert face["track_id"] == 1
    assert {"box", "age", "gender", "emotions", "mood", "quality", "landmarks", "stable", "raw"} <= set(face)
    assert last["events"][0]["kind"] == "TRACK_EVENT_KIND_TRACK_ENDED"
    assert last["events"][0]["summary"]["frames"] == FRAMES


def test_a_server_follows_the_same_track(clip: Path, single: str) -> None:
    *frames, _ = [json.loads(line) for line in client(clip, "--json", "--server", single).stdout.splitlines()]
    assert [[face["track_id"] for face in line["faces"]] for line in frames] == [[1]] * FRAMES


def test_annotated_video_plot_and_table(clip: Path, tmp_path: Path) -> None:
    annotated, plot = tmp_path / "out" / "annotated.mp4", tmp_path / "moods.png"
    table = client(clip, "--annotate", annotated, "--plot", plot, "--summary").stdout
    assert "happy 100%" in table
    with av.open(str(annotated)) as written, av.open(str(clip)) as original:
        times = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in written.decode(video=0)]
        before = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in original.decode(video=0)]
    assert [time for time, _ in times] == pytest.approx([time for time, _ in before], abs=1e-3)
    changed = np.abs(times[5][1].astype(int) - before[5][1]).max(2) > 60
    assert 0.005 < changed.mean() < 0.3  # boxes and labels, not the picture
    assert [path.name for path in annotated.parent.iterdir()] == ["annotated.mp4"]
    with Image.open(plot) as picture:
        assert (250, 190, 40) in {colour for _, colour in picture.getcolors(2**20)}  # the band of "happy"


def test_a_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    times = [0, 40, 80, 300, 320, 1000]
    clip = write(tmp_path / "variable.mkv", pan(len(times)), times_ms=times)
    *frames, _ = [json.loads(line) for line in client(clip, "--json").stdout.splitlines()]
    assert [line["timestamp_ms"] for line in frames] == times


def test_frames_of_a_very_fast_video_are_left_out_rather_than_refused(tmp_path: Path) -> None:
    times = [number * 4 for number in range(300)]  # 250 frames per second
    clip = write(tmp_path / "fast.mkv", list(pan(30)) * 10, times_ms=times)
    *frames, _ = [json.loads(line) for line in client(clip, "--json", "--tasks", "age").stdout.splitlines()]
    assert [line["frame"] for line in frames] == list(range(0, 300, 3))
    assert not any("error" in line for line in frames)


def test_a_turned_video_is_analyzed_upright(tmp_path: Path) -> None:
    turned = (np.ascontiguousarray(np.rot90(picture, 1)) for picture in pan(3))  # counter-clockwise, to be turned back
    clip = rotate(write(tmp_path / "turned.mp4", turned))
    with opened(str(clip)) as video:
        shapes = [picture.pixels.shape for picture in video.pictures]
    assert shapes == [(240, 320, 3)] * 3
    (face,) = json.loads(client(clip, "--json").stdout.splitlines()[1])["faces"]
    assert face["emotion"] == "happy"


def test_a_large_video_is_reduced_and_its_boxes_are_in_its_own_pixels(tmp_path: Path) -> None:
    clip = write(tmp_path / "large.mp4", pan(2, width=3840, height=2160))
    with opened(str(clip)) as video:
        assert max(next(video.pictures).pixels.shape) == LONGEST_SIDE
    (face,) = json.loads(client(clip, "--json").stdout.splitlines()[0])["faces"]
    assert face["box"]["height"] == pytest.approx(FACE[3], rel=0.25)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.mp4", None, "no such file"),
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"not a video at all\n" * 50, "is not a readable video"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    error = client(tmp_path / name, code=2).stderr
    assert message in error
    assert error.count("\n") == 1


def test_sound_folders_cut_files_and_missing_cameras_are_refused(clip: Path, tmp_path: Path) -> None:
    assert "it has sound only" in client(write_sound(tmp_path / "sound.mp4"), code=2).stderr
    assert "is a folder" in client(tmp_path, code=2).stderr
    assert "no camera 7" in client("7", code=2).stderr
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[:5000])
    assert "not a readable video" in client(cut, code=2).stderr


def test_a_file_that_breaks_off_is_analyzed_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.ts", pan(40))
    cut = tmp_path / "cut.ts"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    lines = client(cut, "--json").stdout.splitlines()
    assert 5 < len(lines) < 40


def test_outputs_that_cannot_be_written_are_refused_before_the_first_frame(clip: Path, tmp_path: Path) -> None:
    assert "unsupported file type of a video; use" in client(clip, "--annotate", tmp_path / "out.gif", code=2).stderr
    assert "unsupported file type of a plot; use" in client(clip, "--plot", tmp_path / "out.txt", code=2).stderr
    assert "is the video itself" in client(clip, "--annotate", clip, code=2).stderr


def test_ctrl_c_finishes_the_outputs(tmp_path: Path) -> None:
    clip = write(tmp_path / "long.mkv", list(pan(40)) * 25, fps=25)
    annotated = tmp_path / "annotated.mp4"
    command = [CLIENT, "video", clip, "--json", "--annotate", annotated]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        lines = [process.stdout.readline() for _ in range(20)]
        process.send_signal(signal.SIGINT)
        lines += process.stdout.readlines()
        message = process.stderr.read()
    assert process.returncode == 130, message
    assert "the outputs are complete" in message
    assert len(lines) < 900
    assert json.loads(lines[-1])["events"]
    with av.open(str(annotated)) as written:
        assert sum(1 for _ in written.decode(video=0)) == len(lines) - 1


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, clip: Path) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InvalidRequestError, match="pip install 'mien\\[video\\]'"), opened(str(clip)):
        pass
