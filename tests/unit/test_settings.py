"""Sources of settings, their precedence, and the messages for invalid ones."""

import os
from pathlib import Path

import pytest
from pydantic import BaseModel

from mien.errors import SettingsError
from mien_orchestrator.settings import Settings
from mien_orchestrator.settings.names import FORMER, paths, variable


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mien.yaml"
    path.write_text(
        "server: {port: 1111}\nlimits: {max_faces: 7}\ntasks:\n  age: {model: ssrnet-age, scaling: {max_replicas: 3}}\n"
    )
    return path


def rejected(tmp_path: Path, content: str) -> str:
    """Return the message for a settings file."""
    path = tmp_path / "mien.yaml"
    path.write_text(content)
    with pytest.raises(SettingsError) as caught:
        Settings.load(config=path)
    return str(caught.value)


def test_defaults_serve_every_task() -> None:
    assert list(Settings.load().served) == ["age", "gender", "emotion"]


def test_arguments_override_environment_over_file_over_defaults(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (Settings.load(config=file).server.port, Settings.load().server.port) == (1111, 50051)
    monkeypatch.setenv("MIEN_SERVER__PORT", "2222")
    assert Settings.load(config=file).server.port == 2222
    assert Settings.load({"server.port": 3333}, config=file).server.port == 3333
    assert Settings.load({"server": {"port": 3333}}, config=file).limits.max_faces == 7


def test_the_environment_names_the_file_and_single_settings_of_a_task(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_CONFIG", str(file))
    monkeypatch.setenv("MIEN_TASKS__AGE__THREADS", "2")
    monkeypatch.setenv("MIEN_TASKS__AGE__SCALING__UPSCALE_DELAY_S", "7")
    age = Settings.load().tasks["age"]
    assert (age.model, age.threads, age.scaling.max_replicas, age.scaling.upscale_delay_s) == ("ssrnet-age", 2, 3, 7)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "[::1]:50051,b:2", '{"port": 1}', ""])
def test_the_sdks_variables_are_no_group_of_settings(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_SERVER", address)
    monkeypatch.setenv("MIEN_TOKEN", "secret")
    monkeypatch.setenv("MIEN_SERVER__PORT", "2222")
    assert Settings.load().server.port == 2222


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_TLS__KEY", "")
    monkeypatch.setenv("MIEN_LIMITS__MAX_FACES", "")
    assert Settings.load() == Settings.load({"limits.max_faces": 100})


@pytest.mark.parametrize(
    ("cache", "store"),
    [("/cache", "/cache/mien/models"), ("", "/home/a/.cache/mien/models"), ("x", "/home/a/.cache/mien/models")],
)
@pytest.mark.parametrize("name", ["MIEN_MODEL_STORE", "MIEN_MODELS__STORE"])
def test_the_model_store_is_in_the_users_cache(
    monkeypatch: pytest.MonkeyPatch, cache: str, store: str, name: str
) -> None:
    monkeypatch.delenv("MIEN_MODEL_STORE")
    monkeypatch.setenv("HOME", "/home/a")
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    assert Settings.load().models.store == Path(store)
    monkeypatch.setenv(name, "/models")
    assert Settings.load().models.store == Path("/models")


@pytest.mark.parametrize("name", ["MIEN_MODEL_FOLDERS", "MIEN_MODELS__FOLDERS"])
def test_model_folders_are_separated_as_in_path(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(name, f"/a{os.pathsep}/b")
    assert Settings.load().models.folders == (Path("/a"), Path("/b"))
    path = tmp_path / "mien.yaml"
    path.write_text("models: {folders: [/c]}")
    assert Settings.load(config=path).models.folders == (Path("/a"), Path("/b"))
    monkeypatch.delenv(name)
    assert Settings.load(config=path).models.folders == (Path("/c"),)


def test_the_detectors_file_is_the_one_set_or_the_one_in_the_store(tmp_path: Path) -> None:
    yunet = {"detector.name": "yunet", "models.store": tmp_path}
    assert Settings.load(yunet).detector_file is None
    (tmp_path / "yunet_n_320_320.onnx").touch()
    assert Settings.load(yunet).detector_file == tmp_path / "yunet_n_320_320.onnx"
    assert Settings.load({**yunet, "detector.path": "/other.onnx"}).detector_file == Path("/other.onnx")
    assert Settings.load({"models.store": tmp_path}).detector_file is None


def test_a_task_can_be_disabled(tmp_path: Path) -> None:
    path = tmp_path / "mien.yaml"
    path.write_text("tasks: {emotion: {enabled: false}}")
    assert list(Settings.load(config=path).served) == ["age", "gender"]


def test_a_group_without_settings_keeps_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "mien.yaml"
    path.write_text("server:\n  # port: 1\ntasks:\n")
    assert Settings.load(config=path) == Settings.load()


def test_settings_are_restored_in_a_replica(file: Path) -> None:
    settings = Settings.load({"models.folders": ["/a"], "tls.certificate": "c", "tls.key": "k"}, config=file)
    assert Settings.load(settings.model_dump(mode="json")) == settings


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("server: {prot: 1}", "mien.yaml: server.prot: unknown setting; did you mean server.port?"),
        ("telemetry: {max_faces: 1}", "telemetry.max_faces: unknown setting; did you mean limits.max_faces?"),
        ("detctor: {tiles: true}", "detctor: unknown setting; did you mean detector?"),
        ("tasks: {age: {scaling: {max_replica: 3}}}", "did you mean tasks.age.scaling.max_replicas?"),
        ("nothing: 1", "mien.yaml: nothing: unknown setting"),
        ("max_faces: 1", "mien.yaml: max_faces: unknown setting; it is now limits.max_faces"),
        ("detector: haar", "mien.yaml: detector: is a group of settings (name, path, device, long_side_px, ...)"),
        ("detector: haar", "not 'haar'; it is now detector.name"),
        ("server: {port: many}", "mien.yaml: server.port: Input should be a valid integer"),
        ("server: {port: 99999}", "server.port: Input should be less than or equal to 65535"),
        ("server: {host: 'localhost:80'}", "server.host: 'localhost:80' is not an IPv6 address"),
        ("server: {host: 'http://localhost'}", "server.host: 'http://localhost' is not an address"),
        ("tasks: {nose: {}}", "mien.yaml: tasks.nose: unknown; choose one of age, emotion, gender"),
        (
            "tasks: {age: {enabled: false}, gender: {enabled: false}, emotion: {enabled: false}}",
            "every task is disabled",
        ),
        ("tls: {certificate: server.pem}", "tls.certificate and tls.key belong together"),
        ("tls: {client_ca: ca.pem}", "tls.client_ca needs tls.certificate and tls.key"),
        ("- 1", "does not contain settings"),
        ("port: [", "is not YAML"),
    ],
)
def test_the_message_names_the_file_the_setting_and_the_remedy(tmp_path: Path, content: str, message: str) -> None:
    assert message in rejected(tmp_path, content)


def test_the_message_names_the_source_that_has_precedence(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_SERVER__PORT", "many")
    monkeypatch.setenv("MIEN_TASKS__AGE__THREDS", "2")
    with pytest.raises(SettingsError) as caught:
        Settings.load({"limits.max_faces": 0}, config=file)
    message = str(caught.value)
    assert "MIEN_SERVER__PORT: Input should be a valid integer" in message
    assert "MIEN_TASKS__AGE__THREDS: unknown setting; did you mean tasks.age.threads?" in message
    assert "argument: limits.max_faces: Input should be greater than 0" in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.yaml: No such file"):
        Settings.load(config=tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("host", "address"), [("::1", "[::1]:50051"), ("[::1]", "[::1]:50051"), ("localhost", "localhost:50051")]
)
def test_an_ipv6_host_is_put_into_brackets(host: str, address: str) -> None:
    server = Settings.load({"server.host": host}).server
    assert (server.address(), server.is_loopback) == (address, True)


@pytest.mark.parametrize(("text", "value"), [("False", False), ("false", False), ("0", False), ("True", True)])
def test_all_spellings_of_false_are_accepted(text: str, value: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_SERVER__REFLECTION", text)
    monkeypatch.setenv("MIEN_TASKS__GENDER__ENABLED", text)
    assert (Settings.load().server.reflection, "gender" in Settings.load().served) == (value, value)


def test_invalid_booleans_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_SERVER__REFLECTION", "Falsch")
    with pytest.raises(SettingsError, match="MIEN_SERVER__REFLECTION"):
        Settings.load()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("MIEN_DETECTR__NAME", "did you mean MIEN_DETECTOR__NAME?"),
        ("MIEN_MODEL_FOLDER", "did you mean MIEN_MODEL_FOLDERS?"),
        ("MIEN_DETECTOR", "use MIEN_DETECTOR__NAME"),
        ("MIEN_DRAIN_SECONDS", "use MIEN_SERVER__DRAIN_S"),
    ],
)
def test_a_misspelt_or_former_variable_is_logged(
    name: str, hint: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(name, "haar")
    monkeypatch.setenv("MIEN_SERVER", "127.0.0.1:1")
    monkeypatch.setenv("MIEN_GRPC_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("MIEN_PORT", "tcp://10.0.0.1:50051")
    assert Settings.load().detector.name == "mien"
    assert [record.message for record in caplog.records] == [f"{name} is not a setting; {hint}"]


def test_every_former_name_has_a_present_one() -> None:
    assert {*FORMER.values()} <= {".".join(path) for path in paths(Settings)}


def test_every_setting_can_be_set_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = Settings.load({"tls.certificate": "c", "tls.key": "k", "tls.client_ca": "a"})
    for path in paths(Settings):
        value: object = defaults
        for name in path:
            value = getattr(value, name) if isinstance(value, BaseModel) else value[name]  # type: ignore[index]
        if value is not None and value != ():
            monkeypatch.setenv(variable(path), str(value))
    assert Settings.load() == defaults
