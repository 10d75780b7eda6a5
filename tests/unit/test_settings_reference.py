"""Tests of the generated page of settings and of the settings shown with their sources."""

from pathlib import Path

import pytest
import yaml

from mien_orchestrator.settings import Settings
from mien_orchestrator.settings.names import group_of, paths, variable
from mien_orchestrator.settings.origins import to_yaml
from mien_orchestrator.settings.reference import reference
from mien_orchestrator.settings.sources import read_sources

ROOT = Path(__file__).parents[2]


def test_the_page_of_settings_is_current() -> None:
    written = (ROOT / "docs" / "settings.md").read_text()
    assert written == reference(), "run: python -m mien_orchestrator.settings.reference > docs/settings.md"


def test_the_page_has_every_setting_with_its_variable() -> None:
    page = reference()
    listed = [path for path in paths(Settings) if path[:2] not in {("tasks", "gender"), ("tasks", "emotion")}]
    assert len(listed) > 50
    assert [path for path in listed if f"`{'.'.join(path)}`<br>`{variable(path)}`" not in page] == []


def test_every_setting_is_described() -> None:
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    assert [row for row in rows if not row.rstrip("| ").endswith((".", ")"))] == []
    assert all(group_of(field) and group_of(field).__doc__ for field in Settings.model_fields.values())  # type: ignore[union-attr]


def test_shown_settings_are_a_settings_file_with_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mien.yaml"
    file.write_text("server: {port: 1111}\ntasks: {age: {scaling: {max_replicas: 3}}}")
    monkeypatch.setenv("MIEN_DETECTOR__TILES", "yes")
    sources = read_sources(Settings, {"server.drain_s": 1}, file)
    settings = Settings.from_sources(sources)
    changed = to_yaml(settings, sources, changed=True)
    assert [line.strip() for line in changed.splitlines() if "#" in line] == [
        f"port: 1111  # {file}",
        "drain_s: 1.0  # argument",
        "tiles: true  # MIEN_DETECTOR__TILES",
        f"store: {settings.models.store}  # MIEN_MODEL_STORE",
        f"max_replicas: 3  # {file}",
    ]
    monkeypatch.delenv("MIEN_DETECTOR__TILES")
    shown = to_yaml(settings, sources)
    assert yaml.safe_load(shown) == settings.model_dump(mode="json")
    file.write_text(changed)
    assert Settings.load(config=file) == settings
