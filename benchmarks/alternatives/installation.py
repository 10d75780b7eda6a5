"""Install each system into its own environment, outside the repository."""

import hashlib
import shutil
import sys
from functools import cache

import environments
from alternatives.catalog import HERE, REPOSITORY, Installed
from environments import InstallError

_TOOLS = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence", "wheel")
"""Parts of every virtual environment."""


def install(installed: Installed) -> None:
    """Create the environment, unless it exists with the same pins; raises `InstallError`."""
    kind = installed.system.kind
    installed.root.mkdir(parents=True, exist_ok=True)
    if kind == "mien":
        _install_mien(installed)
    elif kind == "node":
        _install_node(installed)
    else:
        environments.install(installed)
    if installed.system.random_weights and not installed.home.is_dir():
        script = HERE / "drivers" / "deepface_weights.py"
        environments.run(sys.executable, str(script), str(installed.home), str(installed.packages))


@cache
def size_mib(installed: Installed) -> float:
    """Return the size of the installed packages and downloads in MiB, without the interpreter and its installer."""
    roots = [path for path in installed.packages.iterdir() if not path.name.startswith(_TOOLS)]
    roots += [installed.home] if installed.home.is_dir() else []
    files = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*"))]
    return sum(path.stat().st_size for path in files if path.is_file() and not path.is_symlink()) / 2**20


def _install_mien(installed: Installed) -> None:
    """Install this working tree's package with the extra `local`, as the README describes."""
    wanted, stamp = _sources(), installed.environment / "sources.txt"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    python = str(installed.environment / "bin" / "python")
    if not installed.environment.is_dir():
        environments.run(sys.executable, "-m", "venv", str(installed.environment))
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    environments.run(*pip, "--constraint", str(REPOSITORY / "constraints.txt"), f"{REPOSITORY}[local]")
    stamp.write_text(wanted, encoding="utf-8")


def _sources() -> str:
    """Return a digest of the package's files in this working tree."""
    digest = hashlib.sha256((REPOSITORY / "constraints.txt").read_bytes())
    for folder in ("client/mien", "models/mien_models", "orchestrator/mien_orchestrator", "workers/mien_workers"):
        for path in sorted((REPOSITORY / folder).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(path.relative_to(REPOSITORY).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def _install_node(installed: Installed) -> None:
    if not shutil.which("npm"):
        raise InstallError("Node.js with npm is not installed")
    wanted = installed.pins.read_text(encoding="utf-8")
    stamp = installed.environment / "pins.txt"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(installed.environment, ignore_errors=True)
    installed.environment.mkdir(parents=True)
    (installed.environment / "package.json").write_text(wanted, encoding="utf-8")
    environments.run("npm", "install", "--no-audit", "--no-fund", folder=installed.environment)
    stamp.write_text(wanted, encoding="utf-8")
