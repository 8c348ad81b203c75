"""What one client, and all of them together, may ask of the proxy."""

from __future__ import annotations

from dataclasses import dataclass

from backend_demo.settings import Settings

#: Most entries of the memory of topics: of one connection, and of the process.
CONNECTION_TOPICS = 20_000
TOPICS = 200_000

#: Largest properties of a message, bytes of record headers: a record must fit into a batch. As JSON, control characters
#: of user properties take six times their size.
HEADERS_BYTES = 65_536


@dataclass(frozen=True)
class Bounds:
    """Limits from the settings, under the names that they have there without `mqtt_`."""

    connections: int
    packet_bytes: int
    payload_bytes: int
    topic_bytes: int
    topic_aliases: int
    in_flight: int
    held: int
    held_bytes: int
    subscriptions: int
    subscriber_bytes: int
    connect_timeout_s: float
    packet_timeout_s: float
    keep_alive_max_s: int

    @classmethod
    def of(cls, settings: Settings) -> Bounds:
        """The limits that the settings name."""
        return cls(
            connections=settings.mqtt_connections,
            packet_bytes=settings.mqtt_packet_bytes,
            payload_bytes=settings.max_payload_bytes,
            topic_bytes=settings.mqtt_topic_bytes,
            topic_aliases=settings.mqtt_topic_aliases,
            in_flight=settings.mqtt_in_flight,
            held=settings.mqtt_held,
            held_bytes=settings.mqtt_held_mb * 1024 * 1024,
            subscriptions=settings.mqtt_subscriptions,
            subscriber_bytes=settings.mqtt_subscriber_kb * 1024,
            connect_timeout_s=settings.mqtt_connect_timeout_s,
            packet_timeout_s=settings.mqtt_packet_timeout_s,
            keep_alive_max_s=settings.mqtt_keep_alive_max_s,
        )


def overdue(
    bounds: Bounds,
    now: float,
    *,
    connecting_since: float | None,
    heard_at: float,
    keep_alive_s: int,
    partial_since: float | None,
    paused: bool,
    unread: bool,
) -> bool:
    """Whether a client has let a time limit pass. All times are seconds of one clock.

    `connecting_since`: since when it could have sent CONNECT; None: it has. `partial_since`: when a packet began that
    is not complete; None: there is none. `paused`: its socket is held back, so what it sends cannot be seen. `unread`:
    it does not take what is sent to it.
    """
    if connecting_since is not None:
        return now - connecting_since > bounds.connect_timeout_s
    if paused:
        return unread and now - heard_at > bounds.packet_timeout_s
    if partial_since is not None and now - partial_since > bounds.packet_timeout_s:
        return True
    return keep_alive_s > 0 and now - heard_at > 1.5 * keep_alive_s
