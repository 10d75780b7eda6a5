"""Tests that files enter the model store verified, and completely or not at all."""

import dataclasses
import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mien.errors import ModelError
from mien_models.catalog import PUBLISHED, YUNET, Published, find
from mien_models.registry import Registry
from mien_models.store import ModelStore
from tests.file_server import serve_folder
from tests.keras_files import write_ssrnet

NAME, OTHER = "ssrnet-age-wiki-published", "ssrnet-age-imdb-published"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the folder `web`."""
    (tmp_path / "web").mkdir()
    with serve_folder(tmp_path / "web") as address:
        yield address


@pytest.fixture
def file(tmp_path: Path, web: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A synthetic SSR-Net file on the server, listed as the published one of `NAME`."""
    path = write_ssrnet(tmp_path / "web" / "net.h5")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(PUBLISHED, NAME, dataclasses.replace(find(NAME), sha256=digest, url=f"{web}/net.h5"))
    return path


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "cache" / "models")


def names(store: ModelStore) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir()) if store.exists() else []


def test_an_imported_file_is_a_model_of_the_registry(store: ModelStore, file: Path) -> None:
    assert not store.exists()
    assert not store.has(find(NAME))
    path = store.import_file(file, NAME)
    assert store.has(find(NAME))
    assert names(store) == [f"{NAME}.json", f"{NAME}.onnx"]
    entry = Registry([store.folder]).get(NAME)
    assert entry.path == path
    assert entry.read()
    assert entry.spec.parameters == 40_531
    assert entry.spec.version == "1.0.0"


def test_an_import_may_be_repeated(store: ModelStore, file: Path) -> None:
    first = store.import_file(file, NAME).read_bytes()
    assert store.import_file(file, NAME).read_bytes() == first


def test_the_right_file_is_fetched(store: ModelStore, file: Path) -> None:
    assert store.fetch(NAME) == store.folder / f"{NAME}.onnx"
    assert names(store) == [f"{NAME}.json", f"{NAME}.onnx"]


def test_the_detectors_file_is_kept_as_it_is(
    tmp_path: Path, web: str, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "web" / "mirrored.bin").write_bytes(b"a detector")
    digest = hashlib.sha256(b"a detector").hexdigest()
    monkeypatch.setitem(PUBLISHED, "yunet", dataclasses.replace(YUNET, sha256=digest))
    path = store.fetch("yunet", url=f"{web}/mirrored.bin")
    assert (path.name, path.read_bytes()) == (YUNET.file, b"a detector")
    assert store.has(YUNET)
    Registry([store.folder])  # takes no notice of it


def test_a_tampered_download_is_rejected_and_removed(store: ModelStore, file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match=rf"{NAME}: .* bytes that are not the published file .*; nothing was saved"):
        store.fetch(NAME)
    assert names(store) == []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("{web}/missing.h5", "HTTP 404 File not found"),
        ("http://127.0.0.1:{port}/net.h5", "Connection refused"),
        ("http://nowhere.invalid/net.h5", "cannot download"),
        ("net.h5", "unknown url type"),
    ],
)
def test_a_failed_download_is_an_error_with_advice(web: str, store: ModelStore, url: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        store.fetch(NAME, url=url.format(web=web, port=free_port()))
    assert f"`mien models import FILE --as {NAME}`" in str(caught.value)
    assert names(store) == []


def test_a_file_of_another_model_is_reported_with_its_name(store: ModelStore, file: Path) -> None:
    with pytest.raises(ModelError, match=f"is the published file of {NAME}, not of {OTHER}: import it as {NAME}"):
        store.import_file(file, OTHER)
    assert names(store) == []


def test_an_unknown_file_needs_an_option(store: ModelStore, tmp_path: Path) -> None:
    own = write_ssrnet(tmp_path / "own.h5", seed=1)
    with pytest.raises(ModelError, match=r"own\.h5 is not the file published for .*--any-file imports it anyway"):
        store.import_file(own, NAME)
    store.import_file(own, NAME, any_file=True)
    spec = Registry([store.folder]).get(NAME).spec
    assert spec.version == f"0+{hashlib.sha256(own.read_bytes()).hexdigest()[:12]}"
    assert "not the published one" in spec.summary


def test_only_the_published_detector_is_accepted(store: ModelStore, tmp_path: Path) -> None:
    own = tmp_path / "own.onnx"
    own.write_bytes(b"another detector")
    with pytest.raises(ModelError, match=r"is not the file published for yunet \(SHA-256 .*\)$"):
        store.import_file(own, "yunet", any_file=True)


def test_a_broken_file_leaves_nothing(store: ModelStore, tmp_path: Path) -> None:
    own = write_ssrnet(tmp_path / "own.h5", without="delta_s1")
    with pytest.raises(ModelError, match="other layers"):
        store.import_file(own, NAME, any_file=True)
    assert names(store) == []


def test_a_missing_file_is_named(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.h5: No such file"):
        store.import_file(tmp_path / "none.h5", NAME)


def test_an_unknown_name_is_refused_before_anything_is_done(store: ModelStore, tmp_path: Path) -> None:
    for call in (lambda: store.fetch("nose-net"), lambda: store.import_file(tmp_path / "none.h5", "nose-net")):
        with pytest.raises(ModelError, match="unknown published weights 'nose-net'"):
            call()
    assert not store.exists()


def test_a_store_that_cannot_be_created_is_an_error(file: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, no folder")
    with pytest.raises(ModelError, match=r"model store .*taken.*: (Not a directory|File exists)"):
        ModelStore(tmp_path / "taken").import_file(file, NAME)


def test_the_file_in_a_store_is_named_after_the_model_or_as_published() -> None:
    assert find(NAME).file == f"{NAME}.onnx"
    assert isinstance(YUNET, Published)
    assert YUNET.file == "yunet_n_320_320.onnx"
