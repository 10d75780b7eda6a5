"""Tests of the shipped models, and of invalid ones."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from mien.errors import ModelError
from mien_models.registry import DEFAULTS, TASKS, Entry, Registry, has_int8_flags
from mien_models.runtimes import load

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


def test_processors_that_are_fast_at_int8_are_recognized_by_their_flags() -> None:
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": None}, r"heads: Input should be an object"),
        ({"heads": {"nose": {"kind": "emotion"}}}, r"heads.nose"),
        ({"architecture": 5}, r"architecture: Input should be a valid string, not 5"),
        ({"weights": {"file": "../other.onnx", "sha256": "", "bytes": 1}}, r"weights.file: must be the name of a file"),
        ({"weights": {"file": "a\\b.onnx", "sha256": "", "bytes": 1}}, r"weights.file: must be the name of a file"),
        ({"name": "../mien-emotion"}, r"name: String should match pattern"),
        ({"surprise": 1}, r"surprise: Extra inputs are not permitted, not 1"),
    ],
)
def test_an_invalid_specification_is_skipped_with_a_warning(
    change: dict[str, object], message: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = json.loads(Registry().get("mien-emotion").spec.model_dump_json())
    (tmp_path / "odd.json").write_text(json.dumps({**spec, "name": "odd", **change}))
    spec |= {"name": "fine"}
    (tmp_path / "fine.json").write_text(json.dumps(spec))
    registry = Registry([tmp_path])
    assert registry.get("fine").spec.name == "fine"
    assert "odd" not in {entry.spec.name for entry in registry.entries()}
    (record,) = caplog.records
    assert f"{tmp_path / 'odd.json'} is not a model specification: " in record.message
    assert record.message.endswith("the model is not available")
    assert "pydantic" not in record.message
    with pytest.raises(ModelError, match=message):
        registry.get("odd")
    Registry([tmp_path])
    assert len(caplog.records) == 1


@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", b"\xff\xfe", b"nothing"])
def test_other_files_in_a_model_folder_stop_nothing(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "other.json").write_bytes(content)
    (tmp_path / "folder.json").mkdir()
    assert Registry([tmp_path]).entries() == Registry().entries()
    assert sorted(record.message.split(" is not ")[0].rpartition("/")[2][:6] for record in caplog.records) == [
        "folder",
        "other.",
    ]


def test_an_unknown_architecture_matters_to_pytorch_alone(tmp_path: Path) -> None:
    copy(Registry().get("mien-emotion"), tmp_path)
    spec = Registry().get("mien-emotion").whole.spec.model_copy(update={"name": "new", "architecture": "resnet500"})
    spec.write(tmp_path / "new.json")
    entry = Registry([tmp_path]).get("new")
    size = spec.crop.size
    assert load(entry, "emotion").predict(np.zeros((1, size, size, 3), np.uint8))["probabilities"].shape == (1, 7)
    with pytest.raises(ModelError, match=r"unknown architecture 'resnet500'; PyTorch runs .*mini_xception"):
        load(entry, "emotion", runtime="torch")


def test_another_onnx_file_under_a_specification_is_reported(tmp_path: Path) -> None:
    entry = Registry().get("ssrnet-age")
    weights = entry.whole.weights
    assert weights
    spec = Registry().get("mien-emotion").whole.spec.model_copy(update={"name": "mixed", "weights": weights})
    spec.write(tmp_path / "mixed.json")
    (tmp_path / weights.file).write_bytes(entry.whole.read())
    with pytest.raises(ModelError, match=r"instead of crops .*probabilities; `mien models add` converts"):
        load(Registry([tmp_path]).get("mixed"), "emotion")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        Registry([tmp_path / "none"])
