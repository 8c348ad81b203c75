"""One client's connection: bytes become packets, each goes to its side, and whoever breaks the rules is sent off.

Everything here runs in the event loop and never waits; the single wait, for the password, holds back the socket.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from backend_demo import metrics
from backend_demo.mqtt.codec import packets as wire
from backend_demo.mqtt.codec.decoder import Decoder
from backend_demo.mqtt.codec.encoder import encode
from backend_demo.mqtt.codec.packets import Connect, Packet, PacketType, ProtocolError, Publish, ReasonCode
from backend_demo.stages.proxy.bounds import overdue
from backend_demo.stages.proxy.publisher import ClientPublisher
from backend_demo.stages.proxy.session import ClientSession, LoginRefused, accepted, log_in, refusal
from backend_demo.stages.proxy.subscriber import FAILURE, ClientSubscriber

if TYPE_CHECKING:
    from backend_demo.stages.proxy.clients import Clients

log = structlog.get_logger(__name__)

#: Time for a subscription to find the end of the topic, seconds.
SUBSCRIBE_LIMIT_S = 10.0


class ClientConnection(asyncio.Protocol):
    """A connection, from its first byte to its last. `clients`: what all connections share."""

    __slots__ = (
        *("_clients", "_decoder", "_ended", "_logging_in", "_packets", "_partial_since", "_paused", "_publisher"),
        *("_subscriber", "_subscribing", "_transport", "_unread", "heard_at", "opened_at", "session"),
    )

    def __init__(self, clients: Clients) -> None:
        self.session: ClientSession | None = None
        self.heard_at = self._partial_since = self.opened_at = time.monotonic()
        self._clients = clients
        self._decoder = Decoder(packet_bytes=clients.bounds.packet_bytes)
        self._publisher: ClientPublisher | None = None
        self._subscriber: ClientSubscriber | None = None
        self._transport: Any = None
        self._packets: Iterator[Packet] = iter(())
        """Packets behind a CONNECT that is being checked."""
        self._logging_in: asyncio.Task[None] | None = None
        self._subscribing: set[asyncio.Task[None]] = set()
        self._unread = False
        """Whether its client does not take what is sent to it."""
        self._paused = False
        self._ended = False

    # -- asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        if not self._clients.enter(self):
            self._ended = True
            transport.abort()

    def connection_lost(self, problem: Exception | None) -> None:
        self._end(will=True)
        self._clients.leave(self)

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        self.heard_at = time.monotonic()
        if self._logging_in is None:
            self._take(self._decoder.feed(data))
        else:
            # the socket is held back, so this is at most the piece that was being read
            self._packets = _chained(self._packets, self._decoder, data)

    def pause_writing(self) -> None:
        self._unread = True
        self.adjust_reading()

    def resume_writing(self) -> None:
        self._unread = False
        self.adjust_reading()

    # -- packets

    def _take(self, packets: Iterator[Packet]) -> None:
        publisher, packet = self._publisher, None
        was_partial = self._decoder.partial
        try:
            for packet in packets:
                if type(packet) is Publish and publisher is not None:
                    publisher.publish(packet)
                elif type(packet) is Connect:
                    self._connect(packet, packets)
                    return
                elif self._ended:
                    return
                else:
                    self._handle(packet)
        except ProtocolError as problem:
            self._break_off(problem)
        if packet is not None or not was_partial:
            self._partial_since = self.heard_at
        if publisher is not None:
            publisher.flush()
            if max(publisher.held, publisher.under_way) >= self._clients.bounds.in_flight:
                self._hold_back(publisher)

    def _handle(self, packet: Packet) -> None:
        session, publisher, subscriber = self.session, self._publisher, self._subscriber
        if session is None or publisher is None or subscriber is None:
            raise ProtocolError("the first packet is not CONNECT", ReasonCode.PROTOCOL_ERROR)
        match packet:
            case wire.Ack(kind=PacketType.PUBACK):
                subscriber.acknowledged(packet.mid)
            case wire.Ack(kind=PacketType.PUBREL):
                known = publisher.release(packet.mid)
                # a client that comes back may release what it published over an earlier connection
                code = ReasonCode.SUCCESS if known or session.level < 5 else ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
                self._write(wire.Ack(PacketType.PUBCOMP, packet.mid, code, {}))
                self.adjust_reading()
            case wire.Oversized():
                publisher.too_large(packet)
            case wire.Pingreq():
                self._write(wire.Pingresp())
            case wire.Subscribe():
                codes = subscriber.subscribe(packet)
                publisher.forget_topics()  # what it publishes from now on may have to carry its mark
                self._subscribing.add(task := asyncio.create_task(self._answer_subscribe(packet.mid, codes)))
                task.add_done_callback(self._subscribing.discard)
            case wire.Unsubscribe():
                self._write(wire.Unsuback(packet.mid, [subscriber.unsubscribe(each) for each in packet.filters], {}))
            case wire.Disconnect():
                if packet.reason != ReasonCode.DISCONNECT_WITH_WILL_MESSAGE:
                    session.will = None
                self._close(will=True)
            case _:
                raise ProtocolError(f"{type(packet).__name__.upper()} from a client", ReasonCode.PROTOCOL_ERROR)

    def _connect(self, packet: Connect, behind: Iterator[Packet]) -> None:
        """Begins to check a client; the packets `behind` wait for that."""
        if self.session is not None:
            raise ProtocolError("a second CONNECT", ReasonCode.PROTOCOL_ERROR)
        self._packets = behind
        self._logging_in = asyncio.get_running_loop().create_task(self._log_in(packet))
        self.adjust_reading()

    async def _log_in(self, connect: Connect) -> None:
        clients = self._clients
        try:
            session = await log_in(connect, clients.users, clients.bounds, self._peer)
            clients.check_room()
        except LoginRefused as problem:
            log.info("client refused", user=connect.username, address=self._peer, reason=str(problem))
            metrics.mqtt_refused.labels(problem.reason.name.lower()).inc()
            self._transport.write(encode(refusal(problem.reason, connect.level), connect.level))
            self._close()
            return
        finally:
            self._logging_in = None
        if self._ended:
            return
        self.session = session
        self._publisher = ClientPublisher(self, session, clients.intake, clients.routes, clients.bounds)
        give_up = partial(self.send_off, ReasonCode.QUOTA_EXCEEDED)
        self._subscriber = ClientSubscriber(session, clients.hub, clients.bounds, self._transport, give_up)
        clients.admit(self, session)
        self._write(accepted(session, connect, clients.bounds))
        packets, self._packets = self._packets, iter(())
        self._take(packets)
        self.adjust_reading()

    async def _answer_subscribe(self, mid: int, codes: list[int]) -> None:
        """Sends SUBACK when all that is published from now on is shown."""
        if min(codes) < FAILURE:
            try:
                await asyncio.wait_for(self._clients.hub.reads(), SUBSCRIBE_LIMIT_S)
            except TimeoutError:
                self.send_off(ReasonCode.SERVER_BUSY)
                return
        self._write(wire.Suback(mid, codes, {}))

    # -- what others do to it

    def answer(self, packets: Sequence[bytes]) -> None:
        """Sends acknowledgements: Kafka has what they acknowledge."""
        if self._publisher is None:
            return
        self._publisher.answered(packets)
        metrics.mqtt_acknowledged.inc(len(packets))
        if not self._ended:
            self._transport.write(b"".join(packets))
            if self._paused:
                self.adjust_reading()

    def send_off(self, reason: ReasonCode) -> None:
        """Ends the connection, and tells a client of MQTT 5 why."""
        if self.session is not None and self.session.level >= 5:
            self._write(wire.Disconnect(reason, {}))
        self._close(will=True)

    def sweep(self, now: float) -> None:
        """Ends a connection whose client has let a time limit pass; `now`: of the monotonic clock."""
        if self._ended:
            self._transport.abort()  # it has had the time from one look to the next for its last packet
        elif overdue(
            self._clients.bounds,
            now,
            # a password takes the time that it takes
            connecting_since=self.opened_at if self.session is None and self._logging_in is None else None,
            heard_at=self.heard_at,
            keep_alive_s=0 if self.session is None else self.session.keep_alive_s,
            partial_since=self._partial_since if self._decoder.partial else None,
            paused=self._paused,
            unread=self._unread,
        ):
            self.send_off(ReasonCode.KEEP_ALIVE_TIMEOUT)

    def rights_changed(self) -> None:
        """Looks again what its user may do; one that may no longer do what it does is sent off."""
        session = self.session
        if session is None or self._publisher is None or self._subscriber is None:
            return
        rights = self._clients.users.rights(session.user)
        same = rights is not None and rights.login == session.rights.login  # else it is gone, or another of its name
        session.rights = rights or session.rights
        self._publisher.forget_topics()
        if not same or not self._subscriber.allowed:
            self.send_off(ReasonCode.NOT_AUTHORIZED)

    def adjust_reading(self) -> None:
        """Holds the socket back while the client, the intake or the password must be waited for."""
        publisher, clients = self._publisher, self._clients
        pause = (
            self._unread
            or self._logging_in is not None
            or (publisher is not None and clients.intake.full)
            # not what waits for the client's PUBREL, which could not be read either
            or (publisher is not None and publisher.held >= clients.bounds.in_flight)
        )
        if pause != self._paused and not self._ended:
            self._paused = pause
            self.heard_at = self._partial_since = time.monotonic()  # the rest of a packet may wait in the socket
            (self._transport.pause_reading if pause else self._transport.resume_reading)()

    def _hold_back(self, publisher: ClientPublisher) -> None:
        """The client has as much under way as it may, or more."""
        session = self.session
        if session is not None and session.level >= 5 and publisher.under_way > self._clients.bounds.in_flight:
            self.send_off(ReasonCode.RECEIVE_MAXIMUM_EXCEEDED)
        else:
            self.adjust_reading()

    # -- its end

    def _break_off(self, problem: ProtocolError) -> None:
        log.info("client broke the protocol", address=self._peer, problem=str(problem))
        metrics.mqtt_refused.labels(problem.reason.name.lower()).inc()
        if self.session is None and problem.reason == ReasonCode.UNSUPPORTED_PROTOCOL_VERSION:
            self._transport.write(encode(refusal(problem.reason, problem.level), problem.level))
        self.send_off(problem.reason)

    def _write(self, packet: Packet) -> None:
        if not self._ended and self.session is not None:
            self._transport.write(encode(packet, self.session.level))

    def _close(self, *, will: bool = False) -> None:
        """Closes the socket when what was written is sent."""
        if self._publisher is not None:
            self._publisher.flush()
        self._end(will=will)
        self._transport.close()

    def _end(self, *, will: bool) -> None:
        if self._ended:
            return
        self._ended = True
        for task in self._subscribing:
            if task is not asyncio.current_task():
                task.cancel()
        if self._subscriber is not None:
            self._subscriber.close()
        if will and self._publisher is not None and self.session is not None and self.session.will is not None:
            self._publisher.will(self.session.will)

    @property
    def _peer(self) -> str:
        name = self._transport.get_extra_info("peername")
        return str(name[0]) if name else ""


def _chained(packets: Iterator[Packet], decoder: Decoder, data: bytes) -> Iterator[Packet]:
    yield from packets
    yield from decoder.feed(data)
