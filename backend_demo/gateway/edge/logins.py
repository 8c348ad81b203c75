"""Browsers that have logged in: an address that works once becomes a cookie, which stands for a token."""

from __future__ import annotations

import hashlib
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING

from starlette.types import Scope

from backend_demo.one_time import OneTimeTokens, SessionCookies

if TYPE_CHECKING:
    from backend_demo.settings import Settings

#: Where the holder of a token gets an address, and the address.
ISSUE, REDEEM = "/v1/login", "/login"


class Logins:
    """Who has logged in. Cookies are good for as long as the tokens are, also after a restart of the gateway."""

    def __init__(self, settings: Settings) -> None:
        tokens = "\0".join((*settings.gateway_tokens, *settings.network_tokens))
        self.tokens = OneTimeTokens()
        self.cookies = SessionCookies(hashlib.sha256(tokens.encode()).digest())
        self.cookie = f"bdemo_{settings.gateway_port}"  # cookies do not tell ports apart

    def knows(self, scope: Scope) -> bool:
        """Whether a request carries such a cookie."""
        for name, value in scope["headers"]:
            if name == b"cookie":
                try:
                    found = SimpleCookie(value.decode("latin-1")).get(self.cookie)
                except CookieError:
                    continue
                if found is not None and self.cookies.knows(found.value):
                    return True
        return False
