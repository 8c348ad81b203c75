"""Gateways that others could reach: tokens, TLS, foreign pages, and what they refuse to start with."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from backend_demo.errors import ConfigurationInvalid
from backend_demo.gateway.edge import exposure
from backend_demo.gateway.edge.limits import BODY_MAX
from backend_demo.settings import Settings
from tests.support.gateway import GatewayProcess, serving
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer, migrated
from tests.support.shell import Shell

TOKENS = ("0123456789abcdef" * 2, "fedcba9876543210" * 2)
REFUSED = 'bdemo_request_seconds_count{route="none",status="401"}'
BEARER = {"Authorization": f"Bearer {TOKENS[1]}"}
START_S = 300


@contextlib.contextmanager
def gateway_with(database: PostgresServer, tls: ssl.SSLContext | None = None, **more: object) -> Any:
    """A gateway with these settings; it is silent, whatever it was asked."""
    environment = {f"BDEMO_{name.upper()}": str(value) for name, value in more.items()}
    with serving(database.dsn("bdemo_reader"), settings=environment, tls=tls, timeout_s=START_S) as gateway:
        yield gateway
    assert not any(token in gateway.said for token in TOKENS)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """With a few rows of one sensor."""
    with migrated(tmp_path_factory.mktemp("access")) as server:
        for table in ("temperature", "average"):
            server.sql(
                f"insert into {table} (sensor_num, timestamp, value) "
                "select 1, 1.7e9 + i, 20 + i from generate_series(0, 9) i"
            )
        yield server


@pytest.fixture(scope="module")
def private(database: PostgresServer) -> Iterator[GatewayProcess]:
    """As the stack has it."""
    with gateway_with(database) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def public(database: PostgresServer) -> Iterator[GatewayProcess]:
    """On all addresses, in the clear."""
    tokens = " ".join(TOKENS)
    with gateway_with(database, gateway_host="0.0.0.0", gateway_tokens=tokens, gateway_plaintext="true") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1, signed by itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
        *("-subj", "/CN=gateway", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", str(key), "-out", str(certificate)),
    )
    return certificate, key


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


class TestStart:
    """What it refuses to listen with."""

    def test_it_is_told_in_one_line_with_a_next_step(self) -> None:
        environment = {
            **os.environ,
            "BDEMO_GATEWAY_HOST": "0.0.0.0",
            "BDEMO_GATEWAY_TOKENS": TOKENS[0],
            "BDEMO_GATEWAY_STATS_PORT": str(free_port()),
        }
        command = [sys.executable, "-m", "backend_demo", "run", "gateway", "--standalone"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=START_S, check=False)
        assert done.returncode == 3, done.stderr
        (line,) = done.stderr.splitlines()
        told = json.loads(line)
        assert told["code"] == "configuration_invalid"
        assert told["error"].startswith("gateway_host 0.0.0.0 can be reached from other machines, and tokens would")
        assert "BDEMO_GATEWAY_TLS_CERT and BDEMO_GATEWAY_TLS_KEY" in told["hint"]
        assert TOKENS[0] not in line

    def test_files_that_are_no_certificate_and_its_key(self, certificate: tuple[Path, Path], tmp_path: Path) -> None:
        other, locked, nothing = tmp_path / "other.pem", tmp_path / "locked.pem", tmp_path / "nothing.pem"
        openssl("genpkey", "-algorithm", "ed25519", "-out", str(other))
        openssl("pkey", "-in", str(certificate[1]), "-aes256", "-passout", "pass:secret", "-out", str(locked))
        for key in (other, locked, nothing, certificate[0]):
            settings = Settings(gateway_tls_cert=certificate[0], gateway_tls_key=key)
            with pytest.raises(ConfigurationInvalid, match="cannot use") as problem:
                exposure.tls_context(settings)
            assert str(key) in problem.value.message
        assert exposure.tls_context(Settings()) is None


class TestTokens:
    """Beyond loopback it asks for a token."""

    @pytest.mark.parametrize("path", ["/v1/latest", "/temperature_latest?sensor_num=1", "/v1/stats", "/nothing"])
    def test_all_that_holds_data_needs_one(self, public: GatewayProcess, path: str) -> None:
        before = public.metric(REFUSED)
        refused = public.get(path)
        assert refused.status_code == 401
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["www-authenticate"].startswith("Bearer ")
        assert refused.json()["code"] == "unauthorized"
        assert public.get(path, headers={"Authorization": f"Bearer {TOKENS[0][:-1]}"}).status_code == 401
        assert public.metric(REFUSED) == before + 2
        for token in TOKENS:
            assert public.get(path, headers={"Authorization": f"Bearer {token}"}).status_code in (200, 404)

    @pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/docs", "/openapi.json"])
    def test_what_holds_none_does_not(self, public: GatewayProcess, path: str) -> None:
        assert public.get(path).status_code == 200

    def test_a_token_reads_only(self, public: GatewayProcess) -> None:
        assert httpx.head(public.url + "/v1/latest", headers=BEARER).status_code == 200
        for path in ("traces", "dead-letters/replay", "dead-letters/dismiss"):
            written = httpx.post(f"{public.url}/v1/{path}", headers=BEARER, json={})
            assert (written.status_code, written.json()["code"]) == (403, "read_only")

    def test_its_address_is_its_name_and_a_foreign_name_is_not(self, public: GatewayProcess) -> None:
        for host, status in (("192.0.2.1:8007", 200), ("localhost", 200), ("evil.example", 400), ("", 400)):
            assert public.get("/v1/latest", headers={**BEARER, "Host": host}).status_code == status

    @pytest.mark.parametrize(
        ("given", "status", "chosen"),
        [
            ({}, 401, None),
            ({"subprotocols": ["bdemo", "bearer.nonsense"]}, 401, None),
            ({"additional_headers": BEARER, "origin": "http://evil.example"}, 403, None),
            ({"additional_headers": BEARER}, 101, None),
            ({"subprotocols": ["bdemo", f"bearer.{TOKENS[1]}"]}, 101, "bdemo"),
        ],
    )
    def test_a_websocket_needs_one_too(
        self, public: GatewayProcess, given: dict[str, Any], status: int, chosen: str | None
    ) -> None:
        async def shake_hands() -> tuple[int, str | None]:
            try:
                async with websockets.connect(f"ws://127.0.0.1:{public.port}/v1/ws", **given) as connection:
                    return 101, connection.subprotocol
            except websockets.InvalidStatus as problem:
                return problem.response.status_code, None

        assert asyncio.run(shake_hands()) == (status, chosen)


class TestTls:
    """Over TLS."""

    @pytest.fixture(scope="class")
    def gateway(self, database: PostgresServer, certificate: tuple[Path, Path]) -> Iterator[GatewayProcess]:
        with gateway_with(
            database,
            tls=ssl.create_default_context(cafile=str(certificate[0])),
            gateway_host="0.0.0.0",
            gateway_tokens=TOKENS[1],
            gateway_tls_cert=certificate[0],
            gateway_tls_key=certificate[1],
        ) as gateway:
            yield gateway

    def test_it_is_verified_and_not_older_than_1_2(
        self, gateway: GatewayProcess, certificate: tuple[Path, Path]
    ) -> None:
        assert gateway.get("/v1/latest", headers=BEARER).status_code == 200
        assert gateway.get("/v1/latest").status_code == 401
        for version, works in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)):
            context = ssl.create_default_context(cafile=str(certificate[0]))
            context.set_ciphers("DEFAULT@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
            with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as plain:
                if works:
                    with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
                        assert connection.version() == "TLSv1.2"
                else:
                    with pytest.raises(OSError):  # noqa: PT011 - a reset, or an alert
                        context.wrap_socket(plain, server_hostname="127.0.0.1")

    @pytest.mark.parametrize("command", [["query", "latest"], ["tail", "api"]])
    def test_commands_trust_it_when_they_are_told_to(
        self,
        gateway: GatewayProcess,
        certificate: tuple[Path, Path],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        command: list[str],
    ) -> None:
        bdemo = Shell(tmp_path / "none")
        words = [*command, "--url", gateway.url]
        assert "certificate" in bdemo(*words, "--token", TOKENS[1], code=3).stderr
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        for more in ([], ["--token", TOKENS[0]]):
            refused = bdemo(*words, *more, code=3).stderr
            assert "token" in refused
            assert not any(token in refused for token in TOKENS)
        bdemo("query", "latest", "--url", gateway.url, "--token", TOKENS[1])

    def test_plain_http_gets_no_answer_and_it_lives(self, gateway: GatewayProcess) -> None:
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{gateway.port}/healthz")
        assert gateway.ready()


class TestOtherOrigins:
    """Pages of other origins."""

    FRIEND = "https://friend.example:8443"

    def test_none_may_read_by_default(self, private: GatewayProcess) -> None:
        answer = private.get("/v1/latest", headers={"Origin": self.FRIEND})
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert httpx.options(private.url + "/v1/latest", headers={"Origin": self.FRIEND}).status_code == 405

    def test_those_that_are_named_read_and_do_not_write(self, database: PostgresServer) -> None:
        with gateway_with(database, gateway_cors_origins=f'["{self.FRIEND}"]') as gateway:
            self._read_and_do_not_write(gateway)

    def _read_and_do_not_write(self, gateway: GatewayProcess) -> None:
        allowed = gateway.get("/v1/latest", headers={"Origin": self.FRIEND})
        assert allowed.headers["access-control-allow-origin"] == self.FRIEND
        assert "Origin" in allowed.headers["vary"]
        assert "access-control-allow-credentials" not in allowed.headers
        other = gateway.get("/v1/latest", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
        assert "Origin" in other.headers["vary"]
        asking = {"Origin": self.FRIEND, "Access-Control-Request-Headers": "authorization"}
        preflight = httpx.options(
            gateway.url + "/v1/latest", headers={**asking, "Access-Control-Request-Method": "GET"}
        )
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, self.FRIEND)
        preflight = httpx.options(
            gateway.url + "/v1/traces", headers={**asking, "Access-Control-Request-Method": "POST"}
        )
        assert preflight.status_code == 400
        written = httpx.post(gateway.url + "/v1/traces", headers={"Origin": self.FRIEND}, json={"sensor": 1})
        assert (written.status_code, written.json()["code"]) == (403, "cross_origin")


class TestMethods:
    """What is asked otherwise than by GET."""

    @pytest.mark.parametrize(
        "path",
        [
            *("/", "/healthz", "/readyz", "/docs", "/openapi.json", "/v1/latest", "/v1/sensors", "/v1/readings"),
            *("/v1/averages?format=csv", "/temperature_latest?sensor_num=1", "/temperature_latest", "/nothing"),
            "/temperature?sensor_num=1&timestamp_start=0&timestamp_end=9e9",
            "/v1/readings?limit=all&format=ndjson",
        ],
    )
    def test_head_is_get_without_a_body(self, private: GatewayProcess, path: str) -> None:
        head, get = httpx.head(private.url + path), httpx.get(private.url + path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["content-type"] == get.headers["content-type"]

    def test_head_leaves_the_connection_usable(self, private: GatewayProcess) -> None:
        with httpx.Client(base_url=private.url) as client:
            for _ in range(3):
                assert client.head("/v1/readings", params={"limit": "all"}).status_code == 200
                assert client.get("/healthz").json() == {"status": "alive"}

    @pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "POST", "PROPFIND"])
    @pytest.mark.parametrize("path", ["/temperature_latest", "/v1/latest", "/healthz", "/"])
    def test_other_methods_are_refused_with_those_that_there_are(
        self, private: GatewayProcess, method: str, path: str
    ) -> None:
        answer = httpx.request(method, private.url + path)
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
        assert answer.headers["allow"] == "GET, HEAD"

    def test_a_body_that_nobody_asked_for_is_ignored(self, private: GatewayProcess) -> None:
        for content in (b"{}", b"x" * BODY_MAX * 10):
            assert httpx.request("GET", private.url + "/healthz", content=content).status_code == 200
        gzip = httpx.request("GET", private.url + "/healthz", content=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
        assert gzip.status_code == 200

    def test_a_large_body_is_refused(self, private: GatewayProcess) -> None:
        answer = httpx.post(private.url + "/v1/traces", content=b"x" * (BODY_MAX + 1))
        assert (answer.status_code, answer.json()["code"]) == (413, "content_too_large")
