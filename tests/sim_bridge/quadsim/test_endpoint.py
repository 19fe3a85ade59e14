"""The endpoint over real sockets: golden bytes, present-day clients, manners."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import psutil
import pytest
import socketio
from tests.sim_bridge.unhurried import PATIENCE

from quadfollow_core.errors import Unavailable
from quadfollow_sim.quadsim import engineio
from quadfollow_sim.quadsim.endpoint import Endpoint
from quadfollow_sim.quadsim.session import OUTBOX, Timing

Wait = Callable[..., None]
Start = Callable[..., Endpoint]


@asynccontextmanager
async def quadsim(endpoint: Endpoint, version: int = 4) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Connect as QuadSim does, with nothing but a WebSocket."""
    url = f"{endpoint.address}?EIO={version}&transport=websocket"
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as connection:
        yield connection


async def hear(connection: aiohttp.ClientWebSocketResponse) -> str:
    """Receive one text frame."""
    return await connection.receive_str(timeout=PATIENCE)


async def connect(client: socketio.AsyncSimpleClient, endpoint: Endpoint) -> None:
    """Connect as present-day clients do."""
    where = f"http://{endpoint.host}:{endpoint.port}"
    await client.connect(where, transports=["websocket"], wait_timeout=PATIENCE)


def test_the_exchange_with_quadsim_is_byte_for_byte(endpoint: Endpoint) -> None:
    """Opening, greeting, pong, frame, commands: these texts and no others."""

    async def exchange() -> list[str]:
        async with quadsim(endpoint) as connection:
            heard = [await hear(connection)]
            await connection.send_str("2")
            heard += [await hear(connection), await hear(connection)]
            await connection.send_str('42["sensor_frame",{"timestamp":"1.5"}]')
            await connection.send_str("2")
            heard.append(await hear(connection))
            endpoint.emit("object_detected", {"coords": [1.0, -2.5, 0.9]})
            endpoint.emit("object_lost", {})
            return [*heard, await hear(connection), await hear(connection)]

    opening, *rest = asyncio.run(exchange())
    session = json.loads(opening[1:])["sid"]
    assert opening == f'0{{"sid":"{session}","upgrades":[],"pingInterval":25000,"pingTimeout":60000}}'
    assert rest == [
        "40",
        "3",
        "3",
        '42["object_detected",{"coords":[1.0,-2.5,0.9]}]',
        '42["object_lost",{}]',
    ]
    received = endpoint.frames.take(0)
    assert received is not None
    assert received.packet.argument() == {"timestamp": "1.5"}
    assert endpoint.counts.pings == 2


def test_an_engine_io_3_client_is_greeted_at_once(endpoint: Endpoint) -> None:
    """Who asks for EIO=3 waits for 40 before it speaks."""

    async def greeting() -> list[str]:
        async with quadsim(endpoint, version=3) as connection:
            return [(await hear(connection))[:1], await hear(connection)]

    assert asyncio.run(greeting()) == ["0", "40"]


def test_the_first_thing_a_silent_simulator_says_may_be_a_frame(endpoint: Endpoint) -> None:
    """A frame that comes before any ping is greeted and kept."""

    async def exchange() -> str:
        async with quadsim(endpoint) as connection:
            await hear(connection)
            await connection.send_str('42["sensor_frame",{}]')
            return await hear(connection)

    assert asyncio.run(exchange()) == "40"
    assert endpoint.frames.take(PATIENCE) is not None


def test_a_present_day_client_is_served(endpoint: Endpoint) -> None:
    """The real python-socketio client sends frames, gets acknowledgements and commands."""

    async def exchange() -> object:
        got: asyncio.Queue[object] = asyncio.Queue()
        async with socketio.AsyncSimpleClient() as client:
            await connect(client, endpoint)
            client.client.on("object_detected", got.put)
            await client.emit("sensor_frame", {"pose": "here"})
            assert await client.call("sensor_frame", {"pose": "there"}, timeout=PATIENCE) is None
            endpoint.emit("object_detected", {"coords": [1.0, 2.0, 3.0]})
            return await asyncio.wait_for(got.get(), PATIENCE)

    assert asyncio.run(exchange()) == {"coords": [1.0, 2.0, 3.0]}
    received = endpoint.frames.take(PATIENCE)
    assert received is not None
    assert received.packet.argument() == {"pose": "there"}
    assert endpoint.frames.skipped == 1


def test_a_present_day_client_is_kept_alive_by_pings(start_endpoint: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is pinged again and again, answers every time, and stays; how long it waits for a ping is its own business."""
    endpoint, pongs, parse = start_endpoint(timing=Timing(0.05, PATIENCE)), 0, engineio.parse_packet

    def count(text: str) -> engineio.Packet:
        nonlocal pongs
        packet = parse(text)
        pongs += packet.kind is engineio.Kind.PONG
        return packet

    monkeypatch.setattr(engineio, "parse_packet", count)

    async def stay() -> bool:
        async with socketio.AsyncSimpleClient() as client:
            await connect(client, endpoint)
            async with asyncio.timeout(PATIENCE):
                while pongs < 10:
                    await asyncio.sleep(0.01)
            return bool(client.connected)

    assert asyncio.run(stay())
    assert endpoint.counts.clients == 1


def test_another_namespace_is_refused(endpoint: Endpoint) -> None:
    """Only the main namespace exists."""

    async def ask() -> str:
        async with quadsim(endpoint) as connection:
            await hear(connection)
            await connection.send_str("40/admin,")
            return await hear(connection)

    assert asyncio.run(ask()) == '44/admin,{"message":"Invalid namespace"}'


def test_long_polling_is_refused_with_the_remedy(endpoint: Endpoint) -> None:
    """Who asks for polling learns what to do."""

    async def ask() -> tuple[int, str]:
        url = f"http://{endpoint.host}:{endpoint.port}/socket.io/?EIO=4&transport=polling"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()

    status, text = asyncio.run(ask())
    assert status == 400
    assert "transports=['websocket']" in text


def test_malformed_and_unknown_messages_are_counted_and_change_nothing(endpoint: Endpoint) -> None:
    """After any rubbish the next ping still gets its pong."""

    async def exchange() -> list[str]:
        async with quadsim(endpoint) as connection:
            await hear(connection)
            for text in ("", "x", "42{}", "42", "451-[]", '42["dance",{}]', "9" * 100_000):
                await connection.send_str(text)
            await connection.send_bytes(b"\x00\x01")
            await connection.send_str("2")
            return [await hear(connection), await hear(connection)]

    assert asyncio.run(exchange()) == ["40", "3"]
    assert (endpoint.counts.malformed, endpoint.counts.unknown) == (7, 1)


def test_only_the_newest_frame_is_kept(endpoint: Endpoint) -> None:
    """A hundred frames that nobody takes leave one, and 99 counted."""

    async def flood() -> None:
        async with quadsim(endpoint) as connection:
            await hear(connection)
            for number in range(100):
                await connection.send_str(f'42["sensor_frame",{{"timestamp":"{number}"}}]')
            await connection.send_str("2")
            await hear(connection)
            await hear(connection)

    asyncio.run(flood())
    received = endpoint.frames.take(0)
    assert received is not None
    assert received.packet.argument() == {"timestamp": "99"}
    assert (endpoint.frames.received, endpoint.frames.skipped) == (100, 99)
    assert endpoint.frames.take(0) is None


def test_commands_for_nobody_are_counted(endpoint: Endpoint, eventually: Wait) -> None:
    """Without a simulator a command goes nowhere and does not wait for one."""
    endpoint.emit("object_lost", {})
    eventually(lambda: endpoint.counts.unsent == 1)


def test_commands_to_a_client_that_never_greets_are_bounded(endpoint: Endpoint, eventually: Wait) -> None:
    """The queue to a client holds OUTBOX events; older ones are dropped and counted."""

    async def exchange() -> str:
        async with quadsim(endpoint) as connection:
            await hear(connection)
            for number in range(OUTBOX + 10):
                endpoint.emit("delete_marker", {"id": number})
            eventually(lambda: endpoint.counts.unsent == 10)
            await connection.send_str("2")
            await hear(connection)
            await hear(connection)
            return await hear(connection)

    assert asyncio.run(exchange()) == '42["delete_marker",{"id":10}]'


def test_a_second_client_is_refused_while_the_first_lives(
    start_endpoint: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is not disturbed, the second gets 409, and the log says so."""
    monkeypatch.setattr("quadfollow_sim.quadsim.endpoint.SILENCE", PATIENCE)
    endpoint = start_endpoint(patience=0.1)

    async def exchange() -> str:
        async with quadsim(endpoint) as first:
            await hear(first)
            with pytest.raises(aiohttp.WSServerHandshakeError, match="409"):
                async with quadsim(endpoint):
                    pass
            await first.send_str("2")
            return await hear(first)

    assert asyncio.run(exchange()) == "40"
    assert (endpoint.counts.refused, endpoint.counts.clients) == (1, 1)


def test_a_client_that_fell_silent_is_replaced(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new simulator need not wait for the ghost of an old one to go, only until it has been silent for long."""
    monkeypatch.setattr("quadfollow_sim.quadsim.endpoint.SILENCE", 0.2)

    async def exchange() -> str:
        async with quadsim(endpoint) as ghost:
            await hear(ghost)
            async with quadsim(endpoint) as second:
                await hear(second)
                await second.send_str("2")
                return await hear(second)

    assert asyncio.run(exchange()) == "40"
    assert (endpoint.counts.refused, endpoint.counts.clients) == (0, 2)


def test_a_client_may_come_back_at_once(endpoint: Endpoint) -> None:
    """Connections one right after the other are all served."""

    async def come_and_go() -> None:
        for _ in range(10):
            async with quadsim(endpoint) as connection:
                await hear(connection)

    asyncio.run(come_and_go())
    assert (endpoint.counts.refused, endpoint.counts.clients) == (0, 10)


def test_an_abrupt_end_frees_the_place(endpoint: Endpoint, eventually: Wait) -> None:
    """A simulator that crashes without a word makes room at once."""

    async def crash() -> None:
        async with quadsim(endpoint) as connection:
            await hear(connection)
            assert connection._writer.transport is not None
            connection._writer.transport.abort()

    asyncio.run(crash())
    eventually(lambda: not endpoint.connected)


def test_a_taken_port_is_a_clear_error(endpoint: Endpoint) -> None:
    """The message names the port and what may hold it."""
    with pytest.raises(Unavailable, match=f"port {endpoint.port}.*another bridge"):
        Endpoint(port=endpoint.port).start()


def test_closing_frees_the_port_and_whoever_waits() -> None:
    """After close the port can be had again, and a reader goes without a frame."""
    endpoint = Endpoint(port=0)
    endpoint.start()
    endpoint.close()
    endpoint.close()
    assert endpoint.frames.take(None) is None  # for ever, were it not closed
    endpoint.emit("object_lost", {})
    with socket.create_server((endpoint.host, endpoint.port)):
        pass


def test_it_listens_on_the_loopback_alone(endpoint: Endpoint) -> None:
    """QuadSim cannot say who it is, so by default no other machine reaches the endpoint."""
    listening = [one for one in psutil.Process().net_connections(kind="inet") if one.status == "LISTEN"]
    assert {one.laddr.ip for one in listening if one.laddr.port == endpoint.port} == {"127.0.0.1"}
