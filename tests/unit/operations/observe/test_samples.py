"""Reading the metrics of services, over HTTP from prometheus-client's own server."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from backend_demo.errors import ServiceFailed
from backend_demo.operations.observe import hops
from backend_demo.operations.observe.samples import Address, Reader
from backend_demo.settings import Settings


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def served(registry: CollectorRegistry) -> Iterator[Address]:
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    yield Address("127.0.0.1", server.server_port)
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def nobody() -> Address:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return Address("127.0.0.1", listener.getsockname()[1])


def test_all_copies_are_read_and_who_does_not_answer_is_none(
    registry: CollectorRegistry, served: Address, nobody: Address
) -> None:
    Counter("done", "Work.", ["stage"], registry=registry).labels("a").inc(3)
    Gauge("other", "Not asked for.", registry=registry).set(1)
    with Reader({"done_total"}) as reader:
        for _ in range(2):  # the second time over connections that are there
            scrape = reader.read({"one": served, "gone": nobody})
            assert scrape.copies == {"one": {"done_total": {(("stage", "a"),): 3.0}}, "gone": None}


def test_what_is_no_metrics_page_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, Reader({"a"}) as reader:
        listener.settimeout(5)
        address = Address("127.0.0.1", listener.getsockname()[1])
        future = reader._pool.submit(reader.read, {"x": address})
        for _ in range(1):
            with listener.accept()[0] as connection:
                connection.recv(65_536)
                connection.sendall(b"220 mail.example ESMTP\r\n")
        assert future.result(timeout=10).copies == {"x": None}


def test_hops_adds_up_copies(registry: CollectorRegistry, served: Address) -> None:
    for hop in hops.HOPS:
        name = hop.counter.removesuffix("_total")
        if name not in registry._names_to_collectors:
            Counter(name, "Work.", registry=registry).inc(2)
    ports = {service: [served.port] for service in ("bridge", "collection", "processing", "aggregation")}
    found = hops.read(Settings(), {**ports, "loader": [served.port]})
    assert set(found.values()) == {2}


def test_hops_names_the_service_that_does_not_answer(served: Address, nobody: Address) -> None:
    ports = {service: [served.port] for service in ("bridge", "collection", "aggregation", "loader")}
    with pytest.raises(ServiceFailed, match=f"processing does not answer at http://127.0.0.1:{nobody.port}/metrics"):
        hops.read(Settings(), {**ports, "processing": [nobody.port]})
