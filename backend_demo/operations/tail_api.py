"""Follows the gateway's live stream, and comes back where it was when the gateway was away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from httpx_sse import EventSource, ServerSentEvent, SSEError

from backend_demo.errors import ServiceFailed, TimedOut
from backend_demo.operations.gateway_http import Http

ROUTE = "/v1/stream"
#: The gateway is asked again after so long, then after twice as long, and so on.
RETRY_S, RETRY_MAX_S = 0.25, 4.0

#: What a user is told.
AWAY, BACK = "waiting for the gateway", "the gateway is back"

#: Events about the stream itself: what its user should know, and that it has gone on.
NOTICE, KEEP_ALIVE = "notice", "keep-alive"


@dataclass(frozen=True)
class Event:
    """One event: a reading, an average or a dead letter."""

    name: str
    id: str
    """With it, a stream begins behind this event."""
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
) -> Iterator[Event]:
    """Events of these topics and sensors (none named: all) behind the last id, or as they come, for ever.

    After the gateway was away it goes on behind the last event, so that none is missing. `notify` gets what a user
    should know. Raises as `Http.get` while there was no stream yet; later only what waiting does not mend.
    """
    stream = _Stream(url, token)
    once = waiting = False
    pause_s = RETRY_S

    def opened() -> None:
        nonlocal once, waiting, pause_s
        if waiting:
            notify(BACK)
        once, waiting, pause_s = True, False, RETRY_S

    try:
        while True:
            try:
                for event in stream.events(topics, sensors, last_id, opened):
                    last_id = event.id or last_id
                    if event.event == NOTICE:
                        notify(event.json()["detail"])
                    elif event.event != KEEP_ALIVE:
                        yield Event(event.event, event.id, event.data)
            except (ServiceFailed, TimedOut):
                if not once:
                    raise
            if not waiting:
                notify(AWAY)
                waiting = True
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_MAX_S)
    finally:
        stream.close()
