"""What a DSN means, as to libpq; what servers answer is seen in tests/storage/test_tls.py."""

from __future__ import annotations

import ssl

import pytest

from backend_demo.errors import ConfigurationInvalid
from backend_demo.settings import load
from backend_demo.settings_dsn import understood

BASE = "postgresql://me:p%40ss@db:5433/temperature"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "sslmode=require",
        "sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem",
        "application_name=mine",
        "target_session_attrs=read-write",
        "options=-c+search_path%3Dmine",
    ],
)
def test_what_asyncpg_knows_is_left_to_it(query: str) -> None:
    dsn = f"{BASE}?{query}" if query else BASE
    found = understood(dsn)
    assert (found.text, found.connect_timeout_s, found.tls) == (dsn, None, None)


@pytest.mark.parametrize(
    "query",
    [
        "channel_binding=prefer",
        "gssencmode=disable",
        "keepalives=1&keepalives_idle=30&tcp_user_timeout=1000",
        "fallback_application_name=psql&load_balance_hosts=random",
    ],
)
def test_what_makes_no_difference_does_not_reach_the_server(query: str) -> None:
    assert understood(f"{BASE}?{query}&sslmode=require").text == f"{BASE}?sslmode=require"


@pytest.mark.parametrize(("given", "seconds"), [("10", 10.0), ("1", 2.0), ("0", float("inf")), ("-1", float("inf"))])
def test_the_time_limit_is_libpqs(given: str, seconds: float) -> None:
    found = understood(f"{BASE}?connect_timeout={given}")
    assert (found.text, found.connect_timeout_s) == (BASE, seconds)


@pytest.mark.parametrize("query", ["sslrootcert=system", "sslrootcert=system&sslmode=verify-full"])
def test_the_systems_authorities(query: str) -> None:
    found = understood(f"{BASE}?{query}")
    assert found.text == BASE
    assert found.tls is not None
    assert (found.tls.verify_mode, found.tls.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sslmode=on", "invalid sslmode 'on': it is one of disable, "),
        ("channel_binding=require", "channel_binding asks for what this client cannot do"),
        ("gssencmode=require", "gssencmode asks for"),
        ("require_auth=scram-sha-256", "require_auth asks for"),
        ("connect_timeout=soon", "invalid connect_timeout 'soon'"),
        ("sslrootcert=system&sslmode=require", "sslrootcert=system goes with sslmode=verify-full"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_source(monkeypatch: pytest.MonkeyPatch, query: str, said: str) -> None:
    monkeypatch.setenv("BDEMO_POSTGRES_DSN", f"{BASE}?{query}")
    with pytest.raises(ConfigurationInvalid, match=r"^BDEMO_POSTGRES_DSN in the environment: ") as raised:
        load()
    assert said in raised.value.message
    assert "p%40ss" not in raised.value.message
