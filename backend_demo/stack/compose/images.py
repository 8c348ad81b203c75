"""The images of containers: pulled where they are missing, ours built."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import cast

import backend_demo
from backend_demo.errors import ServiceFailed
from backend_demo.places import compose_files
from backend_demo.stack.base import Report, ServiceStatus
from backend_demo.stack.compose import docker as compose_docker
from backend_demo.stack.compose.project import OutputLines, Project

#: How a build tells where it is: `#12 [build 4/6] RUN ...`.
_STEP = re.compile(r"#\d+ \[(\S+) (\d+)/(\d+)\]")


class Images:
    """Makes the images of some services be there."""

    def __init__(self, project: Project, shown: Collection[str], report: Report) -> None:
        """`shown`: the services that are reported on; there are others, which do something and end."""
        self._project = project
        self._shown = shown
        self._report = report

    def fetch(self, names: Collection[str], *, build: bool) -> None:
        """Pulls what is missing, all at once, and builds ours; `build`: also when it is there, as it may be older.

        Raises PrerequisiteMissing (an image that cannot be pulled), ServiceFailed (a build).
        """
        services = self._project.services
        there = set(compose_docker.ask("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split())
        users: dict[str, list[str]] = {}
        for name in names:
            users.setdefault(services[name]["image"], []).append(name)
        built = {service["image"] for service in services.values() if "build" in service}
        tasks: list[Callable[[], None]] = []
        for image, its_users in users.items():
            if image in built and (build or image not in there):
                tasks.append(partial(self._build, image, its_users))
            elif image not in there and image not in built:
                tasks.append(partial(self._pull, image, its_users))
        if tasks:
            with ThreadPoolExecutor(len(tasks)) as pool:
                for task in [pool.submit(task) for task in tasks]:
                    task.result()

    def _pull(self, image: str, users: Collection[str]) -> None:
        from python_on_whales.exceptions import DockerException

        self._say(users, f"pulling {image}")
        layers: dict[str, bool] = {}
        said = ""
        try:
            pulling = cast(OutputLines, self._project.client.image.pull(image, stream_logs=True))
            for line in _decoded(pulling):
                said += f"{line}\n"
                layer, _, what = line.strip().partition(": ")
                if what in ("Pulling fs layer", "Pull complete", "Already exists"):
                    layers[layer] = what != "Pulling fs layer"
                    self._say(users, f"pulling {image}: {sum(layers.values())} of {len(layers)} layers")
        except DockerException as problem:
            raise compose_docker.not_pulled(image, problem.stderr or said) from problem

    def _build(self, image: str, users: Collection[str]) -> None:
        from python_on_whales.exceptions import DockerException

        self._say(users, "waiting for its image")
        users = [name for name in users if name in self._shown][:1]  # one that stands for all
        self._say(users, f"building {image}")
        said: list[str] = []
        try:
            with build_context() as context:
                for line in _decoded(self._project.building(context)):
                    said.append(line)
                    if step := _STEP.match(line):
                        self._say(users, f"building {image}: step {step[2]} of {step[3]} ({step[1]})")
        except DockerException as problem:
            known = compose_docker.refused(problem.stderr or "")
            if not isinstance(known, ServiceFailed):
                raise known from problem
            raise build_failed(image, said) from problem

    def _say(self, users: Collection[str], detail: str) -> None:
        for name in users:
            if name in self._shown:
                self._report(ServiceStatus(name, "fetching", detail=detail))


@contextmanager
def build_context() -> Iterator[Path]:
    """The folder that the image is built from: the checkout, or a copy of the installed package laid out like it."""
    package = Path(backend_demo.__file__).parent
    if compose_files().parent == package.parent:
        yield package.parent
        return
    with tempfile.TemporaryDirectory(prefix="bdemo-build-") as folder:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(compose_files(), Path(folder) / "compose", ignore=ignored)
        shutil.copytree(package, Path(folder) / package.name, ignore=shutil.ignore_patterns("__pycache__", "compose"))
        yield Path(folder)


def build_failed(image: str, said: Iterable[str]) -> ServiceFailed:
    """A build that ended with an error, with what the failing step wrote last."""
    lines = [re.sub(r"^#\d+ ([\d.]+ )?", "", line).strip() for line in said]
    telling = [line for line in lines if re.search(r"\berror\b", line, re.I) and not line.startswith("failed to solve")]
    last = (telling or [line for line in lines if line] or ["?"])[-1]
    return ServiceFailed(
        f"the image {image} cannot be built: {compose_docker.last_line(last)}",
        hint="see all of it: docker compose -f compose/compose.yaml build, in a checkout",
    )


def _decoded(lines: OutputLines) -> Iterable[str]:
    return (line.decode(errors="replace").rstrip() for _, line in lines)
