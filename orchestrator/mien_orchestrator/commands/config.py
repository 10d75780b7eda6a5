"""The command `mien config`: validate a settings file, and show the settings in use."""

from pathlib import Path
from typing import Annotated

import typer

from mien_orchestrator.build import check_devices, check_rollouts, make_detector, make_registry, served_models
from mien_orchestrator.commands.exit_codes import reported_errors
from mien_orchestrator.edge.auth.tokens import Authentication
from mien_orchestrator.edge.tls import server_credentials
from mien_orchestrator.settings import ROLES, Settings
from mien_orchestrator.settings.origins import to_yaml
from mien_orchestrator.settings.sources import read_sources

app = typer.Typer(no_args_is_help=True, help="Validate and show settings.")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="Settings file or Ray Serve config (YAML).", metavar="FILE")],
    files: Annotated[
        bool, typer.Option("--files", help="Also check the files in the settings: models, detector, TLS, tokens.")
    ] = False,
) -> None:
    """Validate a settings file, with the environment, as `mien serve --config FILE` does at its start.

    Exit status: 0 if it is valid, 2 if a setting is invalid, 1 if --files finds a missing or invalid file.
    """
    with reported_errors():
        settings = Settings.load(config=file)
        if files:
            check_files(settings)
    typer.echo(f"{file}: OK")


@app.command()
def show(
    config: Annotated[
        Path | None, typer.Option(help="Settings file or Ray Serve config (YAML).", show_default="MIEN_CONFIG")
    ] = None,
    changed: Annotated[bool, typer.Option("--changed", help="Leave out the defaults.")] = False,
) -> None:
    """Print the settings in use as YAML, each with its source (environment variable or file)."""
    with reported_errors():
        sources = read_sources(Settings, {}, config)
        text = to_yaml(Settings.from_sources(sources), sources, changed=changed)
    typer.echo(text or "# all settings have their defaults")


def check_files(settings: Settings) -> None:
    """Check that all files in the settings exist and are valid.

    Args:
        settings: The settings.

    Raises:
        SettingsError: A TLS or token file is missing or invalid.
        ModelError: A model is unknown, does not answer its task, its file is missing or damaged, or its device is not
            available.
        DetectorError: The detector's file is missing or invalid.

    """
    registry = make_registry(settings)
    for entry in served_models(settings, registry).values():
        entry.read()
    check_rollouts(settings, registry)
    for role in ROLES:
        for task, name in settings.rollout(role).items():
            registry.for_task(task, name).read()
    check_devices(settings)
    make_detector(settings)
    server_credentials(settings)
    Authentication(settings.auth)
