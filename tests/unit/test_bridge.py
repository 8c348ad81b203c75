"""The bridge's MQTT side without a broker: what it makes of filters that are none."""

import asyncio

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from backend_demo.errors import ConfigurationInvalid
from backend_demo.settings import Settings
from backend_demo.stages.bridge import Subscriber


@pytest.mark.parametrize("topic_filter", ["a/#/b", "a+", ""])
def test_a_filter_that_is_none_is_told_and_does_not_end_the_thread(topic_filter: str) -> None:
    async def check() -> None:
        subscriber = Subscriber(Settings(mqtt_filters=(topic_filter,)), asyncio.get_running_loop())
        subscriber._on_connect(subscriber.client, None, None, ReasonCode(PacketTypes.CONNACK, "Success"), None)
        assert isinstance(subscriber.failure, ConfigurationInvalid)

    asyncio.run(check())
