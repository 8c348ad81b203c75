"""Ports of a stack: shifted once, free ones, and whose a taken one is."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend_demo.errors import ConfigurationInvalid, PortInUse
from backend_demo.settings import Settings
from backend_demo.stack import ports
from backend_demo.stack.services.copies import copy_names, most_copies
from backend_demo.stack.services.table import SERVICES

HERE = Path(__file__)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_the_offset_moves_every_port_and_the_addresses_with_them() -> None:
    settings = ports.shifted(Settings(port_offset=10_000))
    assert {getattr(settings, name) - Settings.model_fields[name].default for name in ports.OWNERS} == {10_000}
    assert settings.kafka_bootstrap == "127.0.0.1:19092"
    assert settings.gateway_url == "http://127.0.0.1:18007"


def test_the_offset_is_applied_once() -> None:
    once = ports.shifted(Settings(port_offset=10_000))
    assert ports.shifted(once) == once


def test_everything_listens_on_loopback_whatever_the_settings_say() -> None:
    settings = ports.shifted(Settings(gateway_host="0.0.0.0", stats_host="0.0.0.0", mqtt_host="example.org"))
    assert {settings.gateway_host, settings.stats_host, settings.mqtt_host} == {"127.0.0.1"}


def test_settings_that_ask_for_a_wider_address_are_named() -> None:
    assert ports.ignored(Settings()) == []
    wide = Settings(gateway_host="0.0.0.0", mqtt_listen_host="192.0.2.1", stats_host="localhost")
    assert ports.ignored(wide) == ["mqtt_listen_host", "gateway_host"]


def test_the_broker_of_a_bridge_stays_where_it_is() -> None:
    settings = Settings(mqtt_source="bridge", mqtt_host="broker.example", mqtt_port=8883, port_offset=1000)
    for found in (ports.shifted(settings), ports.free(settings)):
        assert (found.mqtt_host, found.mqtt_port) == ("broker.example", 8883)
        assert found.gateway_port != settings.gateway_port


def test_what_a_broker_elsewhere_asks_for_does_not_count_for_the_stack_s_own() -> None:
    given = {"mqtt_tls": True, "mqtt_ca_file": HERE, "mqtt_client_cert": HERE, "mqtt_client_key": HERE}
    assert not any(getattr(ports.shifted(Settings(**given)), name) for name in given)
    bridged = ports.shifted(Settings(mqtt_source="bridge", **given))
    assert {name: getattr(bridged, name) for name in given} == given


def test_an_offset_beyond_the_last_port_is_refused() -> None:
    with pytest.raises(ConfigurationInvalid, match="kafka_port would be 66092"):
        ports.shifted(Settings(port_offset=5_000, kafka_port=61_092))


def test_one_port_for_two_is_refused() -> None:
    with pytest.raises(ConfigurationInvalid, match="kafka_port and mqtt_port are both 1883"):
        ports.shifted(Settings(kafka_port=1883))


def test_free_ports_are_free_and_differ() -> None:
    settings = ports.free(Settings())
    assert len({getattr(settings, name) for name in ports.OWNERS}) == len(ports.OWNERS)
    ports.check_free(settings.model_dump(), ports.OWNERS.values())


def test_free_ports_are_free_for_every_copy_and_out_of_the_way_of_connections() -> None:
    settings = ports.free(Settings())
    copies = [copy for name, entry in SERVICES.items() for copy in copy_names(name, most_copies(entry))]
    ports.check_free(settings.model_dump(), copies)
    assert all(1024 < getattr(settings, name) < 32_000 for name in ports.OWNERS)


def test_a_taken_port_of_a_copy_names_the_copy(taken: int) -> None:
    settings = {"loader_stats_port": taken - 200}
    ports.check_free(settings, ["loader-2"])
    with pytest.raises(PortInUse, match=f"port {taken} of loader-3 is taken"):
        ports.check_free(settings, ["loader-2", "loader-3"])


def test_a_copy_beyond_the_last_port_is_refused() -> None:
    with pytest.raises(ConfigurationInvalid, match="loader-3 would listen on 65700"):
        ports.check_free({"loader_stats_port": 65_500}, ["loader-3"])


def test_a_taken_port_names_port_service_and_owner(taken: int) -> None:
    settings = Settings(gateway_port=taken)
    with pytest.raises(PortInUse) as caught:
        ports.check_free(settings.model_dump(), ["gateway"])
    assert f"port {taken} of gateway is taken by process {os.getpid()} (" in caught.value.message


def test_a_taken_port_of_a_service_that_is_not_wanted_does_not_matter(taken: int) -> None:
    ports.check_free({**ports.free(Settings()).model_dump(), "gateway_port": taken}, ["kafka"])
