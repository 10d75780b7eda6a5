"""Tests of `client analyze` with unreadable paths and unwritable output: the other files are analyzed."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mien.cli.csv_rows import COLUMNS
from mien.cli.sources import find
from mien.cli.tables import shortened
from tests.photographs import EXAMPLE

BIN = Path(sys.executable).parent
NOBODY = 65534


def client(*words: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    command = [BIN / "client", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("x" * 300 + ".jpg", "File name too long"),
        ("https://example.org/a.jpg", "URLs are not read"),
        ("data:image/png;base64,iVBORw0KGgo", "URLs are not read"),
        ("iVBORw0KGgoAAAANSUhEUgAA" * 40, "decode base64 first"),
    ],
    ids=["long name", "https", "data", "base64"],
)
def test_a_path_that_is_not_a_file_is_reported_and_the_others_are_analyzed(
    single: str, path: str, message: str
) -> None:
    result = client("analyze", path, EXAMPLE, "--json", "--server", single)
    first, second = map(json.loads, result.stdout.splitlines())
    assert result.returncode == 1
    assert message in first["error"]["message"]
    assert len(second["faces"]) == 1
    (line,) = result.stderr.splitlines()
    assert len(line) < 400


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_unreadable_folder_is_reported_and_others_are_listed(tmp_path: Path) -> None:
    for folder in ("open", "closed"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").write_bytes(EXAMPLE.read_bytes())
    parents = [tmp_path, *list(tmp_path.parents)[:2]]
    modes = [(parent, parent.stat().st_mode) for parent in parents]
    for parent, mode in modes:
        parent.chmod(mode | 0o755)
    (tmp_path / "closed").chmod(0o700)
    try:
        os.seteuid(NOBODY)
        sources = find([str(tmp_path)])
        alone = find([str(tmp_path / "closed")])
    finally:
        os.seteuid(0)
        for parent, mode in modes:
            parent.chmod(mode)
    assert [(Path(source.name).name, source.error is None) for source in sources] == [
        ("closed", False),
        ("a.jpg", True),
    ]
    assert "cannot list the folder: permission denied" in str(sources[0].error)
    assert [source.error is None for source in alone] == [False]


def test_a_folder_that_vanishes_while_it_is_listed_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.jpg").write_bytes(b"")
    listed = os.scandir

    def scandir(path: str) -> object:
        if Path(path).name == "a":
            (tmp_path / "a" / "x.jpg").unlink()
            (tmp_path / "a").rmdir()
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    sources = find([str(tmp_path)])
    assert [(Path(source.name).name, source.error is None) for source in sources] == [("a", False), ("x.jpg", True)]


def test_a_folder_has_all_image_names_and_no_hidden_ones(tmp_path: Path) -> None:
    (tmp_path / ".thumbnails").mkdir()
    for name in ("a.jfif", "b.JPE", "c.mpo", "._c.jpg", ".d.jpg", ".thumbnails/e.jpg"):
        (tmp_path / name).write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert [Path(source.name).name for source in find([str(tmp_path)])] == ["a.jfif", "b.JPE", "c.mpo"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("form", ["--json", "--csv", None])
def test_a_full_standard_output_is_a_one_line_error(single: str, form: str | None) -> None:
    with open("/dev/full", "w") as full:
        command = [BIN / "client", "analyze", EXAMPLE, "--server", single, *([form] if form else [])]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert result.returncode == 1
    assert result.stderr == "client: cannot write to standard output: no space left on device\n"


def test_a_closed_pipe_ends_the_command_silently(single: str) -> None:
    command = [BIN / "client", "analyze", EXAMPLE, EXAMPLE.parent, "--json", "--server", single]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.wait(60) == 1
        assert process.stderr.read() == ""


def test_csv_has_one_row_per_face_with_stable_columns(single: str) -> None:
    result = client("analyze", EXAMPLE, "--csv", "--server", single)
    header, row = csv.reader(io.StringIO(result.stdout))
    assert header == list(COLUMNS)
    values = dict(zip(header, row, strict=True))
    assert (values["source"], values["face"], values["gender"]) == (str(EXAMPLE), "1", "female")
    assert float(values["age_low"]) < float(values["age_years"]) < float(values["age_high"])


def test_an_annotated_image_that_cannot_be_written_keeps_its_analysis(single: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = client("analyze", EXAMPLE, "--json", "--annotate", tmp_path / "file" / "x", "--server", single)
    assert result.returncode == 1
    assert len(json.loads(result.stdout)["faces"]) == 1
    assert f"not annotated: cannot write {tmp_path / 'file' / 'x'}" in result.stderr
    assert f"{tmp_path / 'file'} is not a folder" in result.stderr


def test_ctrl_c_prints_the_finished_results(single: str, tmp_path: Path) -> None:
    for index in range(2000):
        (tmp_path / f"{index:04}.jpg").symlink_to(EXAMPLE)
    command = [BIN / "client", "analyze", tmp_path, "--json", "--jobs", "1", "--server", single]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    done = len([first, *rest.splitlines()])
    assert process.returncode == 130
    assert errors == f"client: interrupted; {done} of 2000 images are done\n"


def test_the_detector_and_the_models_in_use_are_shown(single: str) -> None:
    info = client("info", "--server", single).stdout
    assert "mien-age-gender" in info
    assert "mien 1" in info
    listed = client("models", "list", "--server", single).stdout
    assert "detector" in listed
    assert client("models", "show", "mien-emotion", "--server", single).stdout.startswith("#")
    assert client("models", "show", "--server", single).returncode == 2


def test_long_names_are_shortened_and_stay_distinct() -> None:
    names = [f"/photographs/of/{'very/' * 20}{letter}/{'long' * 20}.jpg" for letter in "ab"] + ["short.jpg"]
    short = shortened(names)
    assert len(set(short)) == 3
    assert short[2] == "short.jpg"
    single, _ = shortened([names[0], "short.jpg"])
    assert len(single) == 36


def test_a_model_from_the_settings_is_shown_as_in_use() -> None:
    environment = {**os.environ, "MIEN_TASKS__AGE__MODEL": "ssrnet-age"}
    info = json.loads(client("info", "--json", env=environment).stdout)
    names = {task: model["name"] for task, model in info["models"].items()}
    assert names == {"age": "ssrnet-age", "gender": "mien-age-gender", "emotion": "mien-emotion"}
