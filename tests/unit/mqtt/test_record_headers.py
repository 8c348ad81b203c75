"""Properties of a message travel through the headers of its record."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.mqtt.codec.packets import Properties, Property
from backend_demo.mqtt.record_headers import publish_headers, publish_properties

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
messages = st.fixed_dictionaries(
    {},
    optional={
        Property.CONTENT_TYPE: texts,
        Property.PAYLOAD_FORMAT_INDICATOR: st.integers(0, 1),
        Property.RESPONSE_TOPIC: st.text("ab/", min_size=1),
        Property.CORRELATION_DATA: st.binary(max_size=20),
        Property.MESSAGE_EXPIRY_INTERVAL: st.integers(0, 2**32 - 1),
        Property.USER_PROPERTY: st.lists(st.tuples(texts, texts), min_size=1, max_size=3),
    },
)


@given(messages)
def test_every_property_of_a_message_comes_back(properties: dict[Property, Any]) -> None:
    assert publish_properties(publish_headers(properties)) == properties


def test_the_headers_of_a_message() -> None:
    properties: Properties = {
        Property.CONTENT_TYPE: "application/json",
        Property.PAYLOAD_FORMAT_INDICATOR: 1,
        Property.RESPONSE_TOPIC: "answers/7",
        Property.CORRELATION_DATA: b"\x00\xff",
        Property.MESSAGE_EXPIRY_INTERVAL: 60,
        Property.USER_PROPERTY: [("site", "ü"), ("site", "2")],
    }
    assert publish_headers(properties) == [
        ("mqtt-content-type", b"application/json"),
        ("mqtt-payload-format", b"1"),
        ("mqtt-response-topic", b"answers/7"),
        ("mqtt-correlation-data", b"\x00\xff"),
        ("mqtt-message-expiry", b"60"),
        ("mqtt-user-property", '["site","ü"]'.encode()),
        ("mqtt-user-property", b'["site","2"]'),
    ]


def test_properties_of_the_connection_are_left_out() -> None:
    assert publish_headers({Property.TOPIC_ALIAS: 3, Property.SUBSCRIPTION_IDENTIFIER: [1]}) == []


@pytest.mark.parametrize(
    "header",
    [
        ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("mqtt-content-type", b"\xff"),
        ("mqtt-content-type", b"a\0"),
        ("mqtt-content-type", b"x" * 65_536),
        ("mqtt-payload-format", b"2"),
        ("mqtt-payload-format", b""),
        ("mqtt-message-expiry", b"-1"),
        ("mqtt-message-expiry", b"4294967296"),
        ("mqtt-message-expiry", b"1" * 5000),
        ("mqtt-response-topic", b"a/+"),
        ("mqtt-response-topic", b""),
        ("mqtt-correlation-data", b"x" * 65_536),
        ("mqtt-user-property", b'["a"]'),
        ("mqtt-user-property", b'["a", 1]'),
        ("mqtt-user-property", b'["a", "\\u0000"]'),
        ("mqtt-user-property", b"{"),
        ("mqtt-user-property", b'["\\ud800", "a"]'),
    ],
)
def test_a_header_that_is_not_one_of_these_or_not_valid_is_ignored(header: tuple[str, bytes]) -> None:
    assert publish_properties([header, ("mqtt-payload-format", b"1")]) == {Property.PAYLOAD_FORMAT_INDICATOR: 1}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [name for name, _ in publish_headers({Property.CONTENT_TYPE: ""})]
                + [
                    "mqtt-payload-format",
                    "mqtt-response-topic",
                    "mqtt-correlation-data",
                    "mqtt-message-expiry",
                    "mqtt-user-property",
                ]
            ),
            st.binary(),
        )
    )
)
def test_no_header_is_an_error(headers: list[tuple[str, bytes]]) -> None:
    publish_properties(headers)
