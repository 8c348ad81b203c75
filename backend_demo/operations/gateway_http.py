"""HTTP to a gateway: every failure becomes an error of ours, with a hint."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from backend_demo.errors import BdemoError, ConfigurationInvalid, ServiceFailed, TimedOut, UnknownName, UsageError
from backend_demo.http_client import httpx

CONNECT_TIMEOUT_S = 5.0
#: Longest wait between two pieces of an answer; the gateway's own limits are shorter.
READ_TIMEOUT_S = 30.0

_NO_ANSWER = (httpx.ConnectError, httpx.ConnectTimeout)


class _Reason(msgspec.Struct):
    field: str
    reason: str


class _Problem(msgspec.Struct):
    code: str = ""
    detail: str = ""
    errors: list[_Reason] = []
    sensors: list[int] = []
    known: list[int] = []


_T = TypeVar("_T")


class Http:
    """The gateway at `url`. Raises UsageError when it is not a URL."""

    def __init__(self, url: str, token: str = "") -> None:
        self._url = url.rstrip("/")
        try:
            parsed = httpx.URL(self._url)
        except httpx.InvalidURL as problem:
            raise UsageError(f"invalid URL {url[:60]!r}: {problem}", hint="write http://host:port") from problem
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise UsageError(f"invalid URL {url[:60]!r}", hint="write http://host:port")
        if not token.isascii() or not token.isprintable():
            raise UsageError(
                "invalid token: it contains characters that no token has", hint="check --token and BDEMO_GATEWAY_TOKEN"
            )
        self._token = token
        self._client = httpx.Client(
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            headers={"Authorization": f"Bearer {token}"} if token else {},
            # Python's own context heeds SSL_CERT_FILE
            verify=ssl.create_default_context() if parsed.scheme == "https" else False,
            # a proxy of the environment is for the internet, not for a gateway on this machine
            trust_env=False,
        )
        if parsed.host in ("127.0.0.1", "localhost", "::1"):
            self._client.headers["Accept-Encoding"] = "identity"  # compressing takes longer than sending

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()

    def get(self, path: str, parameters: Mapping[str, Any], form: type[_T]) -> _T:
        """The answer, as this type. Raises UnknownName, UsageError, ConfigurationInvalid, ServiceFailed, TimedOut."""
        with self._errors():
            response = self._client.get(self._url + path, params=parameters)
        if response.status_code != 200:
            raise self._problem(response)
        try:
            return msgspec.json.decode(response.content, type=form)
        except msgspec.DecodeError as problem:
            raise self._stranger() from problem

    def stream(self, path: str, parameters: Mapping[str, Any], media_type: str) -> Iterator[bytes]:
        """Yields the answer as it arrives; ends without an error only when it was complete. Raises as `get`."""
        with self._errors(), self._client.stream("GET", self._url + path, params=parameters) as response:
            if response.status_code != 200:
                response.read()
                raise self._problem(response)
            if response.headers.get("Content-Type", "").partition(";")[0] != media_type:
                raise self._stranger()
            yield from response.iter_bytes()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except _NO_ANSWER as problem:
            if "CERTIFICATE_VERIFY_FAILED" in str(problem):
                raise ConfigurationInvalid(
                    f"the certificate of {self._url} is not trusted",
                    hint="name the file of its CA: SSL_CERT_FILE=ca.pem bdemo query ...",
                ) from problem
            raise ServiceFailed(f"the gateway does not answer at {self._url}", hint="see: bdemo status") from problem
        except httpx.TimeoutException as problem:
            raise TimedOut(
                f"the gateway at {self._url} sent nothing for {READ_TIMEOUT_S:.0f} s", hint="see: bdemo logs gateway"
            ) from problem
        except httpx.HTTPError as problem:
            raise ServiceFailed(
                f"the gateway at {self._url} broke off in the middle of its answer", hint="see: bdemo logs gateway"
            ) from problem

    def _problem(self, response: httpx.Response) -> BdemoError:
        try:
            told = msgspec.json.decode(response.content, type=_Problem)
        except msgspec.DecodeError:
            return self._stranger()
        status, said = response.status_code, told.detail or told.code
        again = response.headers.get("Retry-After", "")
        later = f"try again in {again} s; see: bdemo status" if again.isdecimal() else "see: bdemo status"
        if told.code == "unknown_sensor":
            return _unknown_sensor(told)
        if status == 401:
            missing = f"the gateway at {self._url} requires a token"
            return ConfigurationInvalid(
                f"the gateway at {self._url} rejects this token" if self._token else missing,
                hint="pass its token with --token or BDEMO_GATEWAY_TOKEN",
            )
        if status == 422:
            wrong = "; ".join(f"--{found.field.replace('_', '-')}: {found.reason}" for found in told.errors[:3])
            return UsageError(wrong or said, hint="see: bdemo query --help")
        if status in (406, 413, 414):
            return UsageError(f"the gateway refuses the request: {said}", hint="ask for less, or for another format")
        if status == 429:
            return ServiceFailed(f"the gateway is overloaded: {said}", hint=later)
        if status == 504:
            return TimedOut(said, hint="ask for a shorter range, fewer sensors or larger buckets")
        if status == 503:
            return ServiceFailed(said, hint=later)
        return ServiceFailed(f"the gateway answers {status}: {said}", hint="see: bdemo logs gateway")

    def _stranger(self) -> ServiceFailed:
        return ServiceFailed(f"what answers at {self._url} is not a bdemo gateway", hint="check the URL")


def _unknown_sensor(told: _Problem) -> UnknownName:
    problem = UnknownName("sensor", ", ".join(map(str, told.sensors)), map(str, told.known))
    problem.hint = (
        f"sensors with near numbers: {', '.join(map(str, told.known))}"
        if told.known
        else "no sensor has sent anything yet; try: bdemo simulate"
    )
    return problem
