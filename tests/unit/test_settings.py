"""Tests of the sources of settings, and of their errors."""

from pathlib import Path

import pytest

from mien.errors import SettingsError
from mien_orchestrator.settings import Settings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mien.yaml"
    path.write_text("port: 1111\nmax_faces: 7\ntasks:\n  age: {model: ssrnet-age, scaling: {max_replicas: 3}}\n")
    return path


def test_defaults_serve_every_task() -> None:
    assert list(Settings.load().served) == ["age", "gender", "emotion"]


def test_arguments_override_environment_file_and_defaults(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (Settings.load(config=file).port, Settings.load().port) == (1111, 50051)
    monkeypatch.setenv("MIEN_PORT", "2222")
    assert Settings.load(config=file).port == 2222
    assert Settings.load(config=file, port=3333).port == 3333
    assert Settings.load(config=file, port=None).max_faces == 7


def test_the_environment_sets_the_file_and_nested_settings(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_CONFIG", str(file))
    monkeypatch.setenv("MIEN_TASKS__AGE__THREADS", "2")
    age = Settings.load().tasks["age"]
    assert (age.model, age.threads, age.scaling.max_replicas) == ("ssrnet-age", 2, 3)


@pytest.mark.parametrize(
    ("cache", "store"),
    [("/cache", "/cache/mien/models"), ("", "/home/a/.cache/mien/models"), ("x", "/home/a/.cache/mien/models")],
)
def test_the_model_store_is_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, cache: str, store: str) -> None:
    monkeypatch.delenv("MIEN_MODEL_STORE")
    monkeypatch.setenv("HOME", "/home/a")
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    assert Settings.load().model_store == Path(store)
    monkeypatch.setenv("MIEN_MODEL_STORE", "/models")
    assert Settings.load().model_store == Path("/models")


def test_yunet_is_searched_in_the_store_first(tmp_path: Path) -> None:
    shared = tmp_path / "shared" / "reference" / "yunet_n_320_320.onnx"
    settings = Settings.load(model_store=tmp_path, shared=tmp_path / "shared")
    assert settings.yunet == shared
    (tmp_path / "yunet_n_320_320.onnx").touch()
    assert settings.yunet == tmp_path / "yunet_n_320_320.onnx"
    assert Settings.load(detector="yunet", model_store=tmp_path).detector_file == settings.yunet
    assert Settings.load(detector="yunet", detector_path=shared, model_store=tmp_path).detector_file == shared


def test_a_task_can_be_switched_off(tmp_path: Path) -> None:
    path = tmp_path / "mien.yaml"
    path.write_text("tasks: {emotion: {enabled: false}}")
    assert list(Settings.load(config=path).served) == ["age", "gender"]


def test_settings_are_equal_after_serialization(file: Path) -> None:
    settings = Settings.load(config=file)
    assert Settings.load(**settings.model_dump(mode="json")) == settings


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("prot: 1", "prot: Extra inputs are not permitted"),
        ("port: many", "port: Input should be a valid integer"),
        ("tasks: {nose: {}}", "tasks.nose"),
        (
            "tasks: {age: {enabled: false}, gender: {enabled: false}, emotion: {enabled: false}}",
            "every task is switched off",
        ),
        ("- 1", "holds no settings"),
        ("port: [", "is not YAML"),
    ],
)
def test_an_invalid_settings_file_is_an_error(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "mien.yaml"
    path.write_text(content)
    with pytest.raises(SettingsError) as caught:
        Settings.load(config=path)
    assert expected in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.yaml: No such file"):
        Settings.load(config=tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"tls_certificate": "server.pem"}, "tls_certificate and tls_key belong together"),
        ({"tls_client_ca": "ca.pem"}, "tls_client_ca needs tls_certificate and tls_key"),
    ],
)
def test_incomplete_tls_settings_are_rejected(given: dict[str, str], expected: str) -> None:
    with pytest.raises(SettingsError, match=expected):
        Settings.load(**given)


@pytest.mark.parametrize(("text", "value"), [("False", False), ("false", False), ("0", False), ("True", True)])
def test_all_spellings_of_false_are_accepted(text: str, value: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_REFLECTION", text)
    monkeypatch.setenv("MIEN_TASKS__GENDER__ENABLED", text)
    assert (Settings.load().reflection, "gender" in Settings.load().served) == (value, value)


def test_invalid_booleans_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_REFLECTION", "Falsch")
    with pytest.raises(SettingsError, match="reflection"):
        Settings.load()


def test_a_misspelt_variable_logs_a_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("MIEN_DETECTR", "haar")
    monkeypatch.setenv("MIEN_SERVER", "127.0.0.1:1")
    monkeypatch.setenv("MIEN_GRPC_SERVICE_HOST", "10.0.0.1")
    assert Settings.load().detector == "mien"
    assert [record.message for record in caplog.records] == [
        "MIEN_DETECTR is not a setting; did you mean MIEN_DETECTOR?"
    ]
