"""Connections that never answer again, as after a router has lost its table: nobody waits for two of them in a row.

What is said on one of them costs a timeout of a socket, so what is counted is what was said to nobody, by a proxy.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu.transport.redis import Channel as KombuChannel
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestrator_worker.connections import Connections, is_stale
from orchestrator_worker.patience import LONGEST_PAUSE_SECONDS, OVERDUE_SECONDS, SOCKET_SECONDS
from orchestrator_worker.transport.broker import RECONNECT_SECONDS, Transport
from tests.conftest import RedisServer, wait_until
from tests.fault_proxy import FaultProxy
from tests.fleet import InProcessFleet, plan_of_shape

BAR_SECONDS = 5.0
"""In which a store that is back is used again."""


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(redis_server.folder / "redis.sock") as proxy:
        yield proxy


def idle_of(*pools: Any) -> list[Any]:
    """The connections that wait in these pools."""
    return [connection for pool in pools for connection in pool._available_connections]


def fall_silent(proxy: FaultProxy, *pools: Any) -> int:
    """Let all connections of the pools be forgotten once they have been idle for long enough; returns how many."""
    idle = idle_of(*pools)
    proxy.black_hole()
    wait_until(lambda: all(map(is_stale, idle)), "the connections have been idle")
    proxy.heal(forget=True)
    return len(idle)


def test_no_silent_connection_of_a_pool_is_spoken_on(proxy: FaultProxy) -> None:
    pool = Connections.from_url(
        proxy.redis_url, health_check_interval=0.2, socket_timeout=30, retry=Retry(NoBackoff(), 0)
    )
    client, together = redis.Redis.from_pool(pool), threading.Barrier(6)

    def hold() -> None:
        connection = pool.get_connection()
        together.wait(60)
        pool.release(connection)

    threads = [threading.Thread(target=hold) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fall_silent(proxy, pool) == 6
    held = [pool.get_connection() for _ in range(6)]
    for connection in held:
        connection.send_command("PING")
        assert connection.read_response() == b"PONG"
        pool.release(connection)
    assert client.ping()
    assert proxy.unheard == 0
    client.close()


def test_a_step_meets_no_silent_connection_from_its_claim_to_its_part(
    proxy: FaultProxy, redis_server: RedisServer, tmp_path: Path
) -> None:
    fleet = InProcessFleet.on(proxy.redis_url, tmp_path)
    run = fleet.submit(plan_of_shape({"a": [], "b": ["a"], "c": ["b"]}))
    fleet.deliver(fleet.take("tool"))  # type: ignore[arg-type]
    fleet.app.backend.client.ping()
    with fleet.app.producer_pool.acquire(block=True) as producer:
        pools = [fleet.engine.store._on.redis.connection_pool, fleet.app.backend.client.connection_pool]
        pools += [producer.channel.pool, producer.channel.async_pool]
    message = fleet.take("tool")
    assert message is not None
    assert fall_silent(proxy, *pools) >= 3
    fleet.deliver(message)
    fleet.app.backend.client.ping()
    with redis.Redis.from_url(redis_server.url) as direct:
        assert direct.llen("tool") == 1, "the step behind it was published"
    assert proxy.unheard == 0
    assert run.id
    fleet.close()


def test_messages_are_asked_for_on_a_connection_that_answers(proxy: FaultProxy, tmp_path: Path) -> None:
    fleet = InProcessFleet.on(proxy.redis_url, tmp_path)
    with fleet.app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        channel._active_queues.append("tool")
        channel._update_queue_cycle()
        connection.transport.cycle._register_BRPOP(channel)
        silent = channel.client.connection
        channel.client.parse_response(silent, "BRPOP")
        channel._in_poll = None
        proxy.black_hole()
        wait_until(lambda: is_stale(silent), "every place was taken for a while, so nothing was asked")
        proxy.heal(forget=True)
        connection.transport.cycle._register_BRPOP(channel)
        assert proxy.unheard == 0
        assert channel.client.parse_response(channel.client.connection, "BRPOP") is None
    fleet.close()


def test_the_longest_wait_after_a_heal_is_below_the_bar() -> None:
    """One timeout that was running and one pause: nothing that begins later waits for a connection of before."""
    for pause in (LONGEST_PAUSE_SECONDS, RECONNECT_SECONDS[-1]):
        assert SOCKET_SECONDS + pause < BAR_SECONDS
    # A question that was asked just before: due, late, and looked for every so many.
    assert Transport.brpop_timeout + 2 * OVERDUE_SECONDS < BAR_SECONDS
    assert KombuChannel.health_check_interval > OVERDUE_SECONDS
