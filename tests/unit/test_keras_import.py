"""Tests that imported networks equal the published ones, and that other files are rejected."""

import hashlib
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mien.errors import ModelError
from mien_models import runtimes
from mien_models.catalog import PUBLISHED, find
from mien_models.registry import Registry
from mien_models.store import ModelStore
from mien_models.store.keras_import import read_net
from tests.conftest import ROOT
from tests.keras_files import write_ssrnet
from tests.keras_reference import run_graph, run_ssrnet

CLOSE = 1e-4
MINI_XCEPTIONS = ["mini-xception-emotion-published", "mini-xception-gender-published"]
SSRNETS = [name for name in PUBLISHED if name.startswith("ssrnet")]


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    """Noise, a ramp with noise, and a real face: (8, 64, 64, 3) RGB."""
    random = np.random.default_rng(11)
    noise = random.integers(0, 256, (3, 64, 64, 3), np.uint8)
    ramp = np.linspace(20, 230, 64)[None, :, None, None] + random.normal(0, 15, (4, 64, 64, 3))
    photo = cv2.cvtColor(cv2.imread(str(ROOT / "examples" / "astronaut.jpg")), cv2.COLOR_BGR2RGB)
    return np.concatenate([noise, ramp.clip(0, 255).astype(np.uint8), cv2.resize(photo, (64, 64))[None]])


def published_file(shared: Path, name: str) -> Path:
    """Return the reference file with a published digest."""
    for path in (shared / "reference").iterdir():
        if hashlib.sha256(path.read_bytes()).hexdigest() == find(name).sha256:
            return path
    raise AssertionError(f"no file of {name}")


def imported(path: Path, name: str, folder: Path) -> runtimes.Model:
    """Return the model that a file becomes, run from the ONNX file that the import wrote."""
    ModelStore(folder).import_file(path, name)
    entry = Registry([folder]).get(name)
    return runtimes.load(entry, next(iter(entry.spec.heads)))


@pytest.mark.shared
@pytest.mark.parametrize("name", MINI_XCEPTIONS)
def test_mini_xception_answers_as_the_published_graph(
    shared: Path, tmp_path: Path, crops: NDArray[np.uint8], name: str
) -> None:
    path = published_file(shared, name)
    grey = np.repeat(crops[..., :1], 3, axis=3)
    message = imported(path, name, tmp_path).predict(grey)
    expected = run_graph(path, (grey[..., :1] / 255 - 0.5) * 2)
    answer = message["probabilities"] if "probabilities" in message else message["p_male"]
    assert np.abs(answer - (expected if answer.ndim == 2 else expected[:, 1])).max() < CLOSE


@pytest.mark.shared
@pytest.mark.parametrize("name", SSRNETS)
def test_ssrnet_answers_as_the_published_network(
    shared: Path, tmp_path: Path, crops: NDArray[np.uint8], name: str
) -> None:
    path = published_file(shared, name)
    message = imported(path, name, tmp_path).predict(crops)
    bgr = crops[..., ::-1].astype(np.float64)
    if "years" in message:
        assert np.abs(message["years"] - run_ssrnet(path, bgr, 101)).max() < CLOSE  # years
    else:
        value = run_ssrnet(path, bgr, 1).clip(1e-3, 1 - 1e-3)
        assert np.abs(message["p_male"] - (1 - value if "morph" in name else value)).max() < CLOSE


@pytest.mark.parametrize("first", [1, 8])
def test_any_ssrnet_is_read_wherever_its_numbering_begins(tmp_path: Path, crops: NDArray[np.uint8], first: int) -> None:
    spec = find("ssrnet-age-wiki-published").spec
    assert spec
    net = read_net(write_ssrnet(tmp_path / "own.h5", first=first), spec)
    bgr = crops[..., ::-1].astype(np.float64)
    with torch.inference_mode():
        message = net(torch.from_numpy(bgr.transpose(0, 3, 1, 2)).float())[:, 0].numpy()
    expected = run_ssrnet(write_ssrnet(tmp_path / "same.h5"), bgr, 101)
    assert np.ptp(expected) > 0
    assert np.allclose(message, expected, rtol=CLOSE)


@pytest.mark.parametrize(
    ("name", "without", "message"),
    [
        ("ssrnet-age-wiki-published", "dense_4", r"has other layers than the network: .*'dense': 8"),
        ("mini-xception-gender-published", "", r"other layers than the network: .*'separable_conv2d': 8"),
    ],
)
def test_a_file_of_another_network_is_refused(tmp_path: Path, name: str, without: str, message: str) -> None:
    spec = find(name).spec
    assert spec
    with pytest.raises(ModelError, match=message):
        read_net(write_ssrnet(tmp_path / "own.h5", without=without), spec)


def test_a_layer_of_another_shape_is_named(tmp_path: Path) -> None:
    spec = find("ssrnet-age-wiki-published").spec
    assert spec
    path = write_ssrnet(tmp_path / "own.h5")
    with h5py.File(path, "a") as file:
        del file["delta_s2/delta_s2/kernel:0"]
        file["delta_s2/delta_s2/kernel:0"] = np.zeros((80, 1), np.float32)
    with pytest.raises(ModelError, match=r"stages\.1\.delta\.weight has shape \(1, 80\) in the file and \(1, 90\)"):
        read_net(path, spec)


def test_other_files_are_rejected(tmp_path: Path) -> None:
    spec = find("ssrnet-age-wiki-published").spec
    assert spec
    text, empty = tmp_path / "text.h5", tmp_path / "empty.h5"
    text.write_text("no HDF5")
    h5py.File(empty, "w").close()
    for path in (text, empty, tmp_path / "missing.h5"):
        with pytest.raises(ModelError, match=f"{path.name} is not a Keras HDF5 file"):
            read_net(path, spec)
