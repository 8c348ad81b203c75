"""Work is cancelled when the client disconnects, and its clean-up completes; otherwise its outcome is passed on."""

import asyncio
from collections.abc import Sequence

import pytest
from starlette.types import Message, Receive

from backend_demo.gateway.disconnect import ClientGone, while_connected


def receiving(kinds: Sequence[str]) -> Receive:
    """A client that sends these messages, and then nothing more."""
    left = iter(kinds)

    async def receive() -> Message:
        for kind in left:
            return {"type": kind}
        await asyncio.Event().wait()
        raise AssertionError

    return receive


def test_it_returns_what_the_work_returns_whatever_the_client_sends() -> None:
    async def work() -> int:
        for _ in range(5):
            await asyncio.sleep(0)
        return 7

    assert asyncio.run(while_connected(receiving(["http.request", "websocket.receive"]), work())) == 7


@pytest.mark.parametrize("kind", ["http.disconnect", "websocket.disconnect"])
def test_the_work_is_cancelled_once_and_its_clean_up_runs_to_its_end(kind: str) -> None:
    steps: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            steps.append("cleaned up")

    with pytest.raises(ClientGone):
        asyncio.run(while_connected(receiving(["http.request", kind]), work()))
    assert steps == ["cleaned up"]


def test_it_raises_what_the_work_raises_with_its_cause() -> None:
    cause, problem = OSError("the cause"), ValueError("the problem")

    async def work() -> None:
        raise problem from cause

    with pytest.raises(ValueError, match="the problem") as raised:
        asyncio.run(while_connected(receiving([]), work()))
    assert raised.value is problem
    assert problem.__cause__ is cause


def test_a_cancellation_from_outside_passes_on() -> None:
    steps: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            steps.append("cleaned up")

    async def run() -> None:
        task = asyncio.create_task(while_connected(receiving([]), work()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert steps == ["cleaned up"]
