"""Sink: takes a stage's outcome. `send` returns when Kafka has acknowledged all of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from backend_demo import metrics
from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.sensor_name import encode_name
from backend_demo.domain.steps import Outcome
from backend_demo.domain.topics import DEAD_LETTER, PARTITIONS, SENSOR_NAMES
from backend_demo.faust_batch.producer import BatchProducer, Message
from backend_demo.stages.runtime.process import ServiceProcess
from backend_demo.telemetry import OFF, Tracing


class Sink(Protocol):
    """The destination of a stage's outcome."""

    async def send(self, outcome: Outcome) -> None:
        """Returns when every record and dead letter of the outcome is durable."""


class KafkaSink:
    """A stage's topic, the dead letters and new names of sensors, through one producer."""

    def __init__(
        self, producer: BatchProducer, service: str, topic: str, process: ServiceProcess, tracing: Tracing = OFF
    ) -> None:
        self._producer = producer
        self._service = service
        self._topic = topic
        self._process = process
        self._tracing = tracing

    async def send(self, outcome: Outcome) -> None:
        self._process.failpoints.hit(f"{self._service}-before-send")
        self._process.end_if_suspended()
        messages: dict[tuple[str, int], Sequence[Message]] = {
            (self._topic, partition): found for partition, found in outcome.produced.items() if found
        }
        messages.update(dead_letter_messages(outcome.dead_letters))
        for name, partition in outcome.names:
            record = b"%d" % name.sensor, encode_name(name)
            messages[SENSOR_NAMES, partition] = [*messages.get((SENSOR_NAMES, partition), ()), record]
        if messages:
            with self._tracing.step(f"send {self._topic}"):
                await self._producer.send(messages, self._tracing.headers)
        metrics.values_sent.inc(outcome.sent)
        count_dead_letters(self._service, outcome.dead_letters)
        self._process.failpoints.hit(f"{self._service}-after-send")


def dead_letter_messages(letters: Iterable[DeadLetter]) -> dict[tuple[str, int], list[Message]]:
    """Dead letters as records, each for the partition of its origin."""
    messages: dict[tuple[str, int], list[Message]] = {}
    for letter in letters:
        target = (DEAD_LETTER, letter.partition % PARTITIONS)
        messages.setdefault(target, []).append((letter.record_key(), letter.value(), letter.headers()))
    return messages


def count_dead_letters(service: str, letters: Iterable[DeadLetter]) -> None:
    """Counts the dead letters of a service, by reason."""
    for letter in letters:
        metrics.dead_letters.labels(service, letter.reason).inc()
