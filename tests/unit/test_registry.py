"""Tests of the shipped models, and of invalid ones."""

import hashlib
import json
from pathlib import Path

import pytest

from mien.errors import ModelError
from mien_models.registry import DEFAULTS, TASKS, Entry, Registry, has_int8_flags

NAMES = [entry.spec.name for entry in Registry().entries()]


@pytest.mark.parametrize("name", NAMES)
def test_shipped_weights_are_those_of_their_specification(name: str) -> None:
    entry = Registry().get(name)
    for file in (entry.spec.weights, entry.spec.int8):
        if file:
            content = (entry.path.parent / file.file).read_bytes()
            assert file.sha256 == hashlib.sha256(content).hexdigest()
            assert len(content) == file.bytes <= 5_000_000
    assert entry.spec.parameters > 0


def test_shipped_weights_stay_small_together() -> None:
    files = {
        file.file: file.bytes
        for entry in Registry().entries()
        for file in (entry.spec.weights, entry.spec.int8)
        if file
    }
    assert sum(files.values()) <= 14_000_000


@pytest.mark.parametrize("fast", [True, False])
def test_the_int8_file_is_used_where_the_processor_is_fast_at_it(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien_models.registry.fast_int8", lambda: fast)
    entry = Registry().get("mien-emotion")
    used = entry.spec.int8 if fast else entry.spec.weights
    assert used
    assert entry.digest == f"sha256:{used.sha256}" == f"sha256:{hashlib.sha256(entry.read()).hexdigest()}"
    assert entry.spec.weights
    assert entry.whole.digest == f"sha256:{entry.spec.weights.sha256}"


def test_processors_that_are_fast_at_int8_are_told_by_their_flags() -> None:
    assert has_int8_flags("processor\t: 0\nflags\t\t: fpu avx512f avx512_vnni\n")
    assert has_int8_flags("Features\t: fp asimd asimddp\n")
    assert not has_int8_flags("flags\t\t: fpu avx2\nmodel name\t: avx512_vnni\n")
    assert not has_int8_flags("")


def test_every_task_has_a_default_that_serves_it() -> None:
    for task in TASKS:
        assert task in Registry().for_task(task).spec.heads
        assert Registry().for_task(task).spec.name == DEFAULTS[task]


def test_an_unknown_model_is_rejected_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"unknown model 'nose-net'; available: .*mien-emotion"):
        Registry().get("nose-net")


def test_a_model_of_another_task_is_refused() -> None:
    with pytest.raises(ModelError, match=r"does not serve task 'age'; these do: .*mien-age-gender"):
        Registry().for_task("age", "mien-emotion")


def copy(entry: Entry, folder: Path) -> Path:
    """Copy a model's float32 file alone, with its specification."""
    weights = folder / entry.path.name
    weights.write_bytes(entry.path.read_bytes())
    entry.whole.spec.write(folder / f"{entry.spec.name}.json")
    return weights


def test_a_tampered_file_never_loads(tmp_path: Path) -> None:
    weights = copy(Registry().get("mien-emotion"), tmp_path)
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(ModelError, match="damaged or was changed"):
        Registry([tmp_path]).get("mien-emotion").read()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    copy(Registry().get("mien-emotion"), tmp_path).unlink()
    with pytest.raises(ModelError, match=r"mien-emotion\.onnx is missing"):
        Registry([tmp_path]).get("mien-emotion").read()


def test_a_later_folder_wins(tmp_path: Path) -> None:
    entry = Registry().get("mien-emotion")
    copy(entry, tmp_path)
    entry.spec.model_copy(update={"version": "9.9.9"}).write(tmp_path / "mien-emotion.json")
    assert Registry([tmp_path]).get("mien-emotion").spec.version == "9.9.9"


def test_a_broken_specification_is_named(tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_text(json.dumps({"name": "odd"}))
    with pytest.raises(ModelError, match=r"odd\.json is not a model specification"):
        Registry([tmp_path])


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        Registry([tmp_path / "none"])
