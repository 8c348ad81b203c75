"""Asks the gateway: the newest readings, and readings or averages of a range of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import httpx
import msgspec

from backend_demo.domain.reading import Reading
from backend_demo.errors import BdemoError, ServiceFailed, TimedOut, UnknownName, UsageError

CONNECT_TIMEOUT_S = 5.0
#: Between two pieces of an answer; the gateway's own limits are shorter.
READ_TIMEOUT_S = 30.0

#: The last second of the year 9999: a range without an end.
_FOREVER = 253_402_300_799.0

_ROUTES = {"range": "/temperature", "average": "/average"}


@dataclass(frozen=True)
class Answer:
    """What a query found, newest first; an average has the form of a reading."""

    query: Literal["latest", "range", "average"]
    sensors: tuple[int, ...]
    """Those that were asked for; none: all."""
    start: float | None
    """First time of the range, epoch seconds; None: there is none."""
    end: float | None
    rows: Sequence[Reading]
    complete: bool = True
    """Whether these are all rows that there are."""


class _Row(msgspec.Struct, gc=False):
    """A row of the original's routes, which write every number as a string."""

    timestamp: float
    sensor_num: int
    value: float


class _Latest(msgspec.Struct):
    readings: list[Reading]
    truncated: bool


class _Problem(msgspec.Struct):
    code: str = ""
    detail: str = ""
    sensors: list[int] = []
    known: list[int] = []


_T = TypeVar("_T")


class Gateway:
    """The REST gateway at `url`. Raises UsageError when it is none."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        try:
            parsed = httpx.URL(self._url)
        except httpx.InvalidURL as problem:
            raise UsageError(f"no URL: {url[:60]!r}: {problem}", hint="write http://host:port") from problem
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise UsageError(f"no URL: {url[:60]!r}", hint="write http://host:port")
        # a proxy of the environment is for the internet, not for a gateway on this machine
        self._client = httpx.Client(timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S), trust_env=False)

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *problem: object) -> None:
        self._client.close()

    def latest(self, sensors: Sequence[int] = ()) -> Answer:
        """The newest reading of each of these sensors, or of all, by sensor.

        Raises UnknownName, UsageError, ServiceFailed, TimedOut.
        """
        found = self._get("/v1/latest", {"sensor": list(sensors)}, _Latest)
        return Answer("latest", tuple(sensors), None, None, found.readings, complete=not found.truncated)

    def between(
        self, query: Literal["range", "average"], sensors: Sequence[int], start: float, end: float | None
    ) -> Answer:
        """These sensors' readings or averages from `start` to `end` (epoch seconds, both included), newest first.

        Raises UsageError, ServiceFailed, TimedOut.
        """
        rows: list[Reading] = []
        for sensor in dict.fromkeys(sensors):
            wanted = {
                "sensor_num": sensor,
                "timestamp_start": repr(start),
                "timestamp_end": repr(_FOREVER if end is None else end),
            }
            found = self._get(_ROUTES[query], wanted, list[_Row])
            rows += [Reading(row.sensor_num, row.timestamp, row.value) for row in found]
        if len(sensors) > 1:
            rows.sort(key=lambda row: -row.timestamp)
        return Answer(query, tuple(sensors), start, end, rows)

    def _get(self, path: str, parameters: Mapping[str, Any], form: type[_T]) -> _T:
        try:
            response = self._client.get(self._url + path, params=parameters)
        except (httpx.ConnectError, httpx.ConnectTimeout) as problem:
            raise ServiceFailed(f"the gateway does not answer at {self._url}", hint="see: bdemo status") from problem
        except httpx.TimeoutException as problem:
            raise TimedOut(
                f"the gateway at {self._url} said nothing for {READ_TIMEOUT_S:.0f} s", hint="see: bdemo logs gateway"
            ) from problem
        except httpx.HTTPError as problem:
            raise ServiceFailed(
                f"the gateway at {self._url} broke off its answer", hint="see: bdemo logs gateway"
            ) from problem
        if response.status_code != 200:
            raise self._problem(response)
        try:
            return msgspec.json.decode(response.content, type=form, strict=False)
        except msgspec.DecodeError as problem:
            raise self._stranger() from problem

    def _problem(self, response: httpx.Response) -> BdemoError:
        try:
            told = msgspec.json.decode(response.content, type=_Problem)
        except msgspec.DecodeError:
            return self._stranger()
        if told.code == "unknown_sensor":
            problem = UnknownName("sensor", ", ".join(map(str, told.sensors)), map(str, told.known))
            problem.hint = (
                f"sensors with near numbers: {', '.join(map(str, told.known))}"
                if told.known
                else "no sensor has sent anything yet; try: bdemo simulate"
            )
            return problem
        if response.status_code == 422:
            return UsageError(told.detail, hint="see: bdemo query --help")
        if response.status_code == 503:
            return ServiceFailed(told.detail, hint="see: bdemo status")
        return ServiceFailed(
            f"the gateway answers {response.status_code}: {told.detail or told.code}", hint="see: bdemo logs gateway"
        )

    def _stranger(self) -> ServiceFailed:
        return ServiceFailed(f"what answers at {self._url} is no gateway of bdemo", hint="look at the URL")
