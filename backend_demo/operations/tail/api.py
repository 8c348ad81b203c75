"""Follows the gateway's live stream; after an outage it continues behind the last event."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from backend_demo.adapters.backoff import Backoff
from backend_demo.errors import ServiceFailed, TimedOut
from backend_demo.operations.gateway_http import Http

# isort: split
from httpx_sse import EventSource, ServerSentEvent, SSEError  # after the line above, which loads httpx without its CLI

ROUTE = "/v1/stream"
#: Pauses before the gateway is asked again.
BACKOFF = Backoff(first_s=0.25, longest_s=4.0)

#: Notices of a stream.
AWAY, BACK = "waiting for the gateway", "the gateway is back"

#: Events about the stream itself: a notice for its user, and a sign of life.
NOTICE, KEEP_ALIVE = "notice", "keep-alive"


@dataclass(frozen=True)
class ReceivedEvent:
    """One event as it was received: a reading, an average or a dead letter."""

    name: str
    id: str
    """A stream that is given this id begins behind this event."""
    data: str
    """A JSON document."""


class _Stream(Http):
    def events(
        self, topics: Sequence[str], sensors: Sequence[int], last_id: str, opened: Callable[[], None]
    ) -> Iterator[ServerSentEvent]:
        """The events behind the last one, until the gateway ends the stream; raises as `get`."""
        parameters: dict[str, list[str] | list[int]] = {"topic": list(topics), "sensor": list(sensors)}
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id else {})}
        with (
            self._errors(),
            self._client.stream("GET", self._url + ROUTE, params=parameters, headers=headers) as response,
        ):
            if response.status_code != 200:
                response.read()
                raise self._problem(response)
            opened()
            try:
                yield from EventSource(response).iter_sse()
            except SSEError as problem:
                raise self._stranger() from problem


def follow(
    url: str,
    *,
    topics: Sequence[str] = (),
    sensors: Sequence[int] = (),
    last_id: str = "",
    token: str = "",
    notify: Callable[[str], None],
) -> Iterator[ReceivedEvent]:
    """Events of these topics and sensors (none named: all) behind the last id, or as they come, for ever.

    After an outage it continues behind the last event, so that none is missing. `notify` receives what the user
    should know. Raises as `Http.get` while there was no stream yet; later only what waiting does not fix.
    """
    stream = _Stream(url, token)
    once = waiting = False
    failures = 0

    def opened() -> None:
        nonlocal once, waiting, failures
        if waiting:
            notify(BACK)
        once, waiting, failures = True, False, 0

    try:
        while True:
            try:
                for event in stream.events(topics, sensors, last_id, opened):
                    last_id = event.id or last_id
                    if event.event == NOTICE:
                        notify(event.json()["detail"])
                    elif event.event != KEEP_ALIVE:
                        yield ReceivedEvent(event.event, event.id, event.data)
            except (ServiceFailed, TimedOut):
                if not once:
                    raise
            if not waiting:
                notify(AWAY)
                waiting = True
            failures += 1
            time.sleep(BACKOFF.delay_s(failures))
    finally:
        stream.close()
