"""What all connections share: the intake, the subscriptions, the users, and who is connected."""

from __future__ import annotations

import time

from backend_demo import metrics
from backend_demo.mqtt.codec.packets import ReasonCode
from backend_demo.mqtt.users import Users
from backend_demo.stages.proxy.bounds import Bounds
from backend_demo.stages.proxy.connection import ClientConnection
from backend_demo.stages.proxy.hub import Hub
from backend_demo.stages.proxy.intake import MessageIntake, Routes
from backend_demo.stages.proxy.session import ClientSession, LoginRefused

#: Connections above the limit that are still told "busy" instead of being cut off.
TOLD_BUSY = 100


class Clients:
    """Every connection of this process."""

    def __init__(self, bounds: Bounds, users: Users, routes: Routes, hub: Hub) -> None:
        self.bounds = bounds
        self.users = users
        self.routes = routes
        self.hub = hub
        self.intake = MessageIntake(bounds, self._adjust_reading, self._adjust_reading)
        self._connections: set[ClientConnection] = set()
        self._by_id: dict[tuple[str, str], ClientConnection] = {}
        """By user and client id: one user cannot take over another one's connection."""
        self._users_version = users.version

    def enter(self, connection: ClientConnection) -> bool:
        """Notes a new connection; whether there is room for it."""
        if len(self._connections) >= self.bounds.connections + TOLD_BUSY:
            metrics.mqtt_refused.labels("connections").inc()
            return False
        self._connections.add(connection)
        metrics.mqtt_connections.set(len(self._connections))
        return True

    def check_room(self) -> None:
        """Raises LoginRefused when there are more connections than the limit."""
        if len(self._connections) > self.bounds.connections:
            raise LoginRefused(ReasonCode.SERVER_BUSY)

    def admit(self, connection: ClientConnection, session: ClientSession) -> None:
        """Notes a client that has logged in; an older connection with its id ends."""
        key = session.user, session.client_id
        older = self._by_id.get(key)
        self._by_id[key] = connection
        if older is not None:
            older.send_off(ReasonCode.SESSION_TAKEN_OVER)

    def leave(self, connection: ClientConnection) -> None:
        """Forgets a connection that has ended."""
        self._connections.discard(connection)
        metrics.mqtt_connections.set(len(self._connections))
        session = connection.session
        if session is not None and self._by_id.get((session.user, session.client_id)) is connection:
            del self._by_id[session.user, session.client_id]

    def sweep(self) -> None:
        """Ends connections that have let a time limit pass, or whose user may no longer do what it does."""
        now = time.monotonic()
        for connection in list(self._connections):
            connection.sweep(now)
        if self.users.version != self._users_version:
            self._users_version = self.users.version
            for connection in list(self._connections):
                connection.rights_changed()

    def send_off(self, reason: ReasonCode) -> None:
        """Ends every connection."""
        for connection in list(self._connections):
            connection.send_off(reason)

    def _adjust_reading(self) -> None:
        for connection in list(self._connections):
            connection.adjust_reading()
