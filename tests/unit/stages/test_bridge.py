"""The bridge without a broker: invalid settings end it before it connects."""

from __future__ import annotations

import asyncio

import pytest

from backend_demo.errors import ConfigurationInvalid
from backend_demo.settings import Settings
from backend_demo.stages.bridge import main
from backend_demo.stages.runtime.process import ServiceProcess


@pytest.mark.parametrize("topic_filter", ["a/#/b", "a+", ""])
def test_an_invalid_filter_is_named_before_anything_is_connected(topic_filter: str) -> None:
    with pytest.raises(ConfigurationInvalid) as raised:
        asyncio.run(main(Settings(mqtt_filters=("sensors/#", topic_filter)), ServiceProcess(), asyncio.Event()))
    assert raised.value.message.startswith(f"invalid MQTT filter {topic_filter!r}: ")
