"""Tests of the commands `client` and `mien`, run as subprocesses."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.version import __version__
from tests.photographs import EXAMPLE

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]


def client(*words: str | Path, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [BIN / "client", *words]
    return subprocess.run(command, input=stdin, capture_output=True, env={**os.environ, **environment}, timeout=120)


def test_results_are_printed_as_a_table(single: str) -> None:
    result = client("analyze", EXAMPLE, "--server", single)
    assert result.returncode == 0
    assert b"female" in result.stdout
    assert b"happy" in result.stdout
    assert result.stderr == b""


def test_json_has_the_source_and_the_protos_field_names(single: str) -> None:
    (line,) = client("analyze", EXAMPLE, "--json", MIEN_SERVER=single).stdout.splitlines()
    message = json.loads(line)
    assert message["source"] == str(EXAMPLE)
    assert message["faces"][0]["ratio_box"].keys() == {"x", "y", "width", "height"}
    assert message["faces_truncated"] is False
    assert [task["task"] for task in message["tasks"]] == ["age", "gender", "emotion"]


def test_a_face_too_small_for_a_prediction_is_reported_in_text_and_json(tmp_path: Path) -> None:
    result = client("analyze", EXAMPLE, "--annotate", tmp_path / "small.png", MIEN_LIMITS__MIN_FACE_PX="400")
    assert result.returncode == 0
    assert b"too small to tell" in result.stdout
    assert b"female" not in result.stdout
    assert result.stderr == b""
    assert (tmp_path / "small.png").exists()
    (face,) = json.loads(client("analyze", EXAMPLE, "--json", MIEN_LIMITS__MIN_FACE_PX="400").stdout)["faces"]
    assert face["quality"]["abstained_reasons"] == ["REASON_FACE_TOO_SMALL"]
    assert face["quality"]["size_px"] > 50
    assert face["emotions"] == []
    assert not face.keys() & {"age", "gender", "mood"}


def test_one_invalid_image_does_not_fail_the_others(single: str, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not an image")
    names = [tmp_path / "text.jpg", tmp_path / "missing.jpg", EXAMPLE]
    result = client("analyze", *names, "--json", "--server", single)
    first, second, third = map(json.loads, result.stdout.splitlines())
    assert result.returncode == 1
    assert first["error"]["reason"] == "IMAGE_UNDECODABLE"
    assert "no such file" in second["error"]["message"]
    assert len(third["faces"]) == 1
    assert result.stderr.count(b"client: ") == 2


def test_standard_input_is_read(single: str) -> None:
    result = client("analyze", "-", "--json", "--server", single, stdin=EXAMPLE.read_bytes())
    assert json.loads(result.stdout)["source"] == "-"
    assert len(json.loads(result.stdout)["faces"]) == 1


def test_folders_and_patterns_are_expanded(single: str, tmp_path: Path) -> None:
    folder = tmp_path / "größe und maß"
    (folder / "below").mkdir(parents=True)
    for name in ("a.png", "below/b.JPG"):
        Image.fromarray(np.full((40, 60, 3), 120, np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    result = client("analyze", folder, "--json", "--server", single)
    assert [Path(json.loads(line)["source"]).name for line in result.stdout.splitlines()] == ["a.png", "b.JPG"]
    result = client("analyze", folder / "*.png", "--json", "--server", single)
    assert len(result.stdout.splitlines()) == 1


def test_annotated_pictures_are_written_to_a_file_or_a_folder(single: str, tmp_path: Path) -> None:
    assert client("analyze", EXAMPLE, "--annotate", tmp_path / "one.png", "--server", single).returncode == 0
    with Image.open(tmp_path / "one.png") as picture, Image.open(EXAMPLE) as original:
        assert picture.format == "PNG"
        assert picture.size == original.size
        assert np.abs(np.asarray(picture, float) - np.asarray(original, float)).max() > 100
    other = tmp_path / "other"
    other.mkdir()
    (other / EXAMPLE.name).write_bytes(EXAMPLE.read_bytes())
    assert client("analyze", EXAMPLE, other, "--annotate", tmp_path / "many", "--server", single).returncode == 0
    assert {path.name for path in (tmp_path / "many").iterdir()} == {
        "astronaut.annotated.jpg",
        "astronaut-2.annotated.jpg",
    }


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["analyze", "--tasks", "nose", str(EXAMPLE)], 2, "unknown task 'nose'; available: age, gender, emotion"),
        (["analyze", "--tasks", "", str(EXAMPLE)], 2, "the list of tasks is empty"),
        (["analyze", "{empty}"], 2, "holds no images"),
        (["analyze", "{empty}/*.jpg"], 2, "no image matches"),
        (["analyze", str(EXAMPLE), str(EXAMPLE.parent), "--annotate", "{empty}/x.jpg"], 0, ""),
        (["analyze"], 2, "Missing argument"),
        (["analyze", str(EXAMPLE), "--timeout", "0"], 2, "timeout"),
        (["analyze", str(EXAMPLE), "--server", "127.0.0.1:1"], 3, "no server answers at 127.0.0.1:1"),
        (["info", "--server", "127.0.0.1:1"], 3, "no server answers"),
        (["models", "--server", "not an address"], 2, "host:port"),
        (["models", "nobody"], 2, "unknown model 'nobody'; available: mien-age-gender"),
        (["models", ""], 2, "unknown model ''; available: mien-age-gender"),
        (["analyze", "{empty}/missing.jpg"], 1, "no such file"),
        (["analyze", str(EXAMPLE), "--json=False"], 2, "does not take a value"),
    ],
)
def test_wrong_usage_has_an_exit_code_and_a_message(
    single: str, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    result = client(*(word.format(empty=tmp_path) for word in words), MIEN_SERVER=single)
    assert result.returncode == code, result.stderr.decode()
    assert message in result.stderr.decode()
    assert b"Traceback" not in result.stderr


def test_several_images_cannot_be_annotated_into_one_file(single: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(EXAMPLE.read_bytes())
    result = client("analyze", EXAMPLE, copy, "--annotate", tmp_path / "one.jpg", "--server", single)
    assert result.returncode == 2
    assert b"pass a folder" in result.stderr


def test_models_and_info_as_table_and_json(single: str) -> None:
    rows = [line.split("│") for line in client("models", "--server", single).stdout.decode().splitlines()]
    used = {cells[1].strip(): cells[3].strip() for cells in rows if len(cells) > 3}
    assert (used["mien-age-gender"], used["mien-emotion"], used["ssrnet-age"]) == ("age, gender", "emotion", "")
    devices = {
        model["name"]: model["device"] for model in json.loads(client("models", "--json", "--server", single).stdout)
    }
    assert devices["mien-emotion"]
    assert not devices["ssrnet-age"]
    assert json.loads(client("info", "--json", "--server", single).stdout)["deployment_mode"] == "single"
    assert __version__.encode() in client("info", "--server", single).stdout


def test_local_mode_is_used_without_a_server() -> None:
    message = json.loads(client("analyze", EXAMPLE, "--json").stdout)
    assert len(message["faces"]) == 1


def test_an_invalid_setting_of_local_mode_is_reported() -> None:
    result = client("info", MIEN_DETECTOR__NAME="nose")
    assert result.returncode == 2
    assert b"MIEN_DETECTOR__NAME" in result.stderr
    assert b"Traceback" not in result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_prints_when_it_is_ready_and_stops_cleanly(number: signal.Signals) -> None:
    with subprocess.Popen(
        [BIN / "mien", "serve", "--inline", "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout
        address = server.stdout.readline().removeprefix("mien is ready at ").strip()
        assert client("analyze", EXAMPLE, "--server", address).returncode == 0
        server.send_signal(number)
        assert server.wait(20) == 0


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ([], 0, "SERVING"),
        (["--service", "emotion"], 0, "SERVING"),
        (["--service", "nose"], 1, "does not know 'nose'"),
        (["--server", "127.0.0.1:1", "--timeout", "0.2"], 1, "no server answers at 127.0.0.1:1"),
    ],
    ids=["server", "task", "unknown", "nobody"],
)
def test_the_health_check_reports_whether_a_server_serves(
    single: str, words: list[str], status: int, message: str
) -> None:
    command = [BIN / "mien", "health", "--server", single, *words]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert checked.returncode == status
    assert message in checked.stdout + checked.stderr
    assert "Traceback" not in checked.stderr


def test_a_taken_port_is_an_error(single: str) -> None:
    port = single.rpartition(":")[2]
    command = [BIN / "mien", "serve", "--inline", "--port", port]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr
    assert "Traceback" not in result.stderr


def test_serve_reports_an_invalid_settings_file(tmp_path: Path) -> None:
    (tmp_path / "mien.yaml").write_text("tasks: {age: {model: nose-net}}")
    command = [BIN / "mien", "serve", "--inline", "--config", tmp_path / "mien.yaml"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert "unknown model 'nose-net'" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_non_ascii_file_name_is_read_and_printed(single: str, tmp_path: Path) -> None:
    path = tmp_path / "Ångström 人 é.jpg"
    path.write_bytes(EXAMPLE.read_bytes())
    result = client("analyze", path, "--json", "--server", single, "--annotate", tmp_path / "ö.png", LC_ALL="C")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["source"] == str(path)
    assert (tmp_path / "ö.png").exists()


def test_brackets_in_a_name_are_printed_literally(single: str, tmp_path: Path) -> None:
    for name in ("img [copy].jpg", "x[bold].jpg"):
        (tmp_path / name).write_bytes(EXAMPLE.read_bytes())
    result = client("analyze", tmp_path, "--server", single)
    assert result.returncode == 0, result.stderr
    shown = result.stdout.decode().replace("\n", "")
    assert "img [copy].jpg" in shown
    assert "x[bold].jpg" in shown
