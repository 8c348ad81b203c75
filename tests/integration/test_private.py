"""`bdemo up --private`: on this machine, too, the gateway answers only who has its token, or has logged in."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from backend_demo.errors import UsageError
from backend_demo.settings import Settings
from backend_demo.stack.state.directory import StateDirectory
from tests.support.shell import Shell


@pytest.fixture(scope="module")
def bdemo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A gateway with its PostgreSQL."""
    shell = Shell(tmp_path_factory.mktemp("private") / "state")
    try:
        shell("up", "gateway", "--any-port", "--private")
        yield shell
    finally:
        shell("down", "--wipe")


@pytest.fixture
def url(bdemo: Shell) -> str:
    return StateDirectory(bdemo.state_dir).attached(Settings()).gateway_url


def test_others_are_refused_and_the_stacks_own_commands_are_not(bdemo: Shell, url: str) -> None:
    assert httpx.get(f"{url}/v1/sensors").status_code == 401
    assert httpx.get(f"{url}/readyz").status_code == 200
    bdemo("query", "latest")
    assert json.loads(bdemo("top", "--once", "-o", "json").stdout)["schema"] == "bdemo.top/1"


def test_the_browser_is_logged_in_by_an_address_that_works_once(bdemo: Shell, url: str) -> None:
    opened = json.loads(bdemo("open", "--print", "-o", "json").stdout)
    assert opened["opened"] is False
    assert opened["address"].startswith(f"{url}/login?token=")
    with httpx.Client(follow_redirects=True) as browser:
        assert browser.get(opened["address"]).status_code == 200
        assert browser.get(f"{url}/v1/sensors").status_code == 200
    assert httpx.get(opened["address"]).status_code == 403


def test_the_gateway_keeps_its_token_when_it_starts_again(bdemo: Shell, url: str) -> None:
    with httpx.Client(follow_redirects=True) as browser:
        browser.get(bdemo("open", "--print").stdout.strip())
        bdemo("up", "gateway")
        assert browser.get(f"{url}/v1/sensors").status_code == 200


def test_a_new_token_ends_what_the_old_one_had_opened(bdemo: Shell, url: str) -> None:
    with httpx.Client(follow_redirects=True) as browser:
        browser.get(bdemo("open", "--print").stdout.strip())
        bdemo("secrets", "rotate", "network_token")
        assert browser.get(f"{url}/v1/sensors").status_code == 401
    bdemo("query", "latest")


def test_containers_have_no_such_switch(bdemo: Shell) -> None:
    refused = bdemo("up", "--private", "--stack", "compose", code=UsageError.exit_code).stderr
    assert "--private cannot be combined with --stack compose" in refused
