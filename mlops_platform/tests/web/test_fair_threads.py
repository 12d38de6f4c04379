"""Threads are shared fairly among clients, and so is memory."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from mlops_platform.web import fair_threads, limits
from mlops_platform.web.budget import Budget
from mlops_platform.web.clients import Client
from mlops_platform.web.fair_threads import Busy, FairThreads
from mlops_platform.web.listening import Listener


def run(test: Callable[[FairThreads], Awaitable[Any]], count: int = 4) -> None:
    async def with_threads() -> None:
        threads = FairThreads(count)
        try:
            await asyncio.wait_for(test(threads), 30)
        finally:
            threads.stop()

    asyncio.run(with_threads())


class Gate:
    """Work that is blocked until the gate opens; counts how much of it runs."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.order: list[str] = []

    def work(self, name: str) -> Callable[[], str]:
        def blocked() -> str:
            self.order.append(name)
            self._open.wait(20)
            return name

        return blocked

    def open(self) -> None:
        self._open.set()


async def settle() -> None:
    await asyncio.sleep(0.1)


def test_a_client_runs_half_of_the_threads_and_another_one_goes_on():
    async def test(threads: FairThreads) -> None:
        gate = Gate()
        greedy = [
            asyncio.ensure_future(threads.run(Client("greedy"), gate.work("g"))) for _ in range(10)
        ]
        await settle()
        assert gate.order == ["g", "g"]
        assert await threads.run(Client("other"), lambda: "at once") == "at once"
        gate.open()
        assert await asyncio.gather(*greedy) == ["g"] * 10

    run(test)


def test_waiting_clients_take_turns():
    async def test(threads: FairThreads) -> None:
        gate = Gate()
        order: list[str] = []
        first = asyncio.ensure_future(threads.run(Client("a"), gate.work("a")))
        await settle()
        waiting = [
            asyncio.ensure_future(threads.run(Client(name), partial(order.append, name)))
            for name in ("a", "a", "a", "b", "b", "c")
        ]
        await settle()
        gate.open()
        await asyncio.gather(first, *waiting)
        assert order == ["a", "b", "c", "a", "b", "a"]

    run(test, count=1)


def members(organization: str, count: int) -> list[Client]:
    return [Client(f"{organization} {n}", organization=organization) for n in range(count)]


def test_members_of_an_organization_run_half_of_the_threads_together():
    async def test(threads: FairThreads) -> None:
        gate = Gate()
        greedy = [
            asyncio.ensure_future(threads.run(each, gate.work("g"))) for each in members("a", 20)
        ]
        await settle()
        assert gate.order == ["g", "g"]
        [other] = members("b", 1)
        assert await threads.run(other, lambda: "at once") == "at once"
        gate.open()
        assert await asyncio.gather(*greedy) == ["g"] * 20

    run(test)


def test_organizations_take_turns_however_many_members_wait():
    async def test(threads: FairThreads) -> None:
        gate = Gate()
        order: list[str] = []
        first = asyncio.ensure_future(threads.run(members("a", 1)[0], gate.work("a")))
        await settle()
        waiting = [
            asyncio.ensure_future(threads.run(each, partial(order.append, each.name)))
            for each in (*members("a", 4), *members("b", 2))
        ]
        await settle()
        gate.open()
        await asyncio.gather(first, *waiting)
        assert order == ["a 0", "b 0", "a 1", "b 1", "a 2", "a 3"]

    run(test, count=1)


def test_those_who_ask_for_one_cluster_share_half_before_their_organization_is_known():
    async def test(threads: FairThreads) -> None:
        gate = Gate()
        users = [Client(f"user {n}", subject="the cluster") for n in range(20)]
        greedy = [asyncio.ensure_future(threads.run(each, gate.work("g"))) for each in users]
        await settle()
        assert gate.order == ["g"] * 4
        assert await threads.run(Client("another"), lambda: "at once") == "at once"
        gate.open()
        await asyncio.gather(*greedy)

    run(test, count=8)


def test_strangers_leave_a_quarter_of_the_threads_to_organizations():
    async def test(threads: FairThreads) -> None:
        gate = Gate()
        strangers = [
            asyncio.ensure_future(threads.run(Client(f"{n}"), gate.work("s"))) for n in range(20)
        ]
        await settle()
        assert gate.order == ["s"] * 6
        [member] = members("a", 1)
        assert await threads.run(member, lambda: "at once") == "at once"
        gate.open()
        await asyncio.gather(*strangers)

    run(test, count=8)


def test_strangers_who_ask_for_a_members_cluster_take_turns_with_its_organization(monkeypatch):
    monkeypatch.setattr(limits, "WAITING_OF_ORGANIZATION", 10)

    async def test(threads: FairThreads) -> None:
        early, gate = Gate(), Gate()
        strangers = [Client(f"user {n}", subject="x", likely="a") for n in range(14)]
        tasks = [
            asyncio.ensure_future(threads.run(each, (early if n < 4 else gate).work("s")))
            for n, each in enumerate(strangers)
        ]
        tasks += [asyncio.ensure_future(threads.run(c, gate.work("a"))) for c in members("a", 4)]
        await settle()
        assert early.order == ["s"] * 4
        early.open()
        await settle()
        assert sorted(gate.order) == ["a", "a", "s", "s"]
        gate.open()
        await asyncio.gather(*tasks)

    run(test, count=8)


def test_what_runs_and_waits_counts_for_an_organization_as_soon_as_it_is_known():
    async def test(threads: FairThreads) -> None:
        gate, early = Gate(), Gate()
        users = [Client(f"user {n}") for n in range(6)]
        tasks = [
            asyncio.ensure_future(threads.run(each, (early if n == 0 else gate).work("a")))
            for n, each in enumerate(users)
        ]
        await settle()
        assert len(early.order + gate.order) == 3
        threads.look_up(lambda each: setattr(each, "organization", "a"))
        early.open()
        await settle()
        assert len(early.order + gate.order) == 3  # three ran already, and no other has begun
        assert await threads.run(members("b", 1)[0], lambda: "at once") == "at once"
        gate.open()
        await asyncio.gather(*tasks)

    run(test)


def test_a_request_that_waits_among_strangers_begins_once_its_organization_is_known():
    async def test(threads: FairThreads) -> None:
        gate = Gate()
        strangers = [
            asyncio.ensure_future(threads.run(Client(f"{n}"), gate.work("s"))) for n in range(3)
        ]
        dev = Client("dev")
        waiting = asyncio.ensure_future(threads.run(dev, lambda: "begun"))
        await settle()
        assert not waiting.done()
        dev.organization = "a"
        threads.look_up(lambda _: None)
        assert await waiting == "begun"
        gate.open()
        await asyncio.gather(*strangers)

    run(test)


def test_an_organization_does_not_fill_what_may_wait(monkeypatch):
    monkeypatch.setattr(limits, "WAITING_OF_ORGANIZATION", 3)

    async def test(threads: FairThreads) -> None:
        gate = Gate()
        tasks = [
            asyncio.ensure_future(threads.run(each, gate.work("a"))) for each in members("a", 4)
        ]
        await settle()
        with pytest.raises(Busy) as refused:
            await threads.run(Client("a 9", organization="a"), gate.work("a"))
        assert refused.value.by_client
        tasks.append(asyncio.ensure_future(threads.run(members("b", 1)[0], gate.work("b"))))
        await settle()
        gate.open()
        assert sorted(filter(None, await asyncio.gather(*tasks))) == ["a", "a", "a", "a", "b"]

    run(test, count=1)


def test_only_few_last_turns_are_remembered(monkeypatch):
    monkeypatch.setattr(fair_threads, "GROUPS", 10)

    async def test(threads: FairThreads) -> None:
        for n in range(50):
            await threads.run(Client(f"user {n}", subject=f"{n}"), lambda: None)
        assert len(threads._last_turn) <= 11

    run(test)


def test_too_many_waiting_requests_are_refused(monkeypatch):
    monkeypatch.setattr(limits, "WAITING_OF_CLIENT", 2)
    monkeypatch.setattr(limits, "WAITING", 3)

    async def test(threads: FairThreads) -> None:
        gate = Gate()
        tasks = [asyncio.ensure_future(threads.run(Client("a"), gate.work("a"))) for _ in range(3)]
        await settle()
        with pytest.raises(Busy) as refused:
            await threads.run(Client("a"), gate.work("a"))
        assert refused.value.by_client
        tasks.append(asyncio.ensure_future(threads.run(Client("b"), gate.work("b"))))
        await settle()
        with pytest.raises(Busy) as refused:
            await threads.run(Client("c"), gate.work("c"))
        assert not refused.value.by_client
        gate.open()
        assert sorted(filter(None, await asyncio.gather(*tasks))) == ["a", "a", "a", "b"]

    run(test, count=1)


def test_a_turn_that_does_not_come_in_time_is_refused_and_leaves_nothing(monkeypatch):
    monkeypatch.setattr(limits, "TURN_S", 0.1)

    async def test(threads: FairThreads) -> None:
        gate = Gate()
        first = asyncio.ensure_future(threads.run(Client("a"), gate.work("a")))
        await settle()
        with pytest.raises(Busy):
            await threads.run(Client("b"), gate.work("b"))
        gate.open()
        assert await first == "a"
        assert await threads.run(Client("b"), lambda: "b") == "b"
        assert gate.order == ["a"]

    run(test, count=1)


def test_a_request_whose_client_has_left_is_not_run():
    async def test(threads: FairThreads) -> None:
        gate = Gate()
        ran: list[str] = []
        first = asyncio.ensure_future(threads.run(Client("a"), gate.work("a")))
        await settle()
        left = asyncio.ensure_future(
            threads.run(Client("b"), partial(ran.append, "b"), lambda: False)
        )
        cancelled = asyncio.ensure_future(threads.run(Client("c"), partial(ran.append, "c")))
        await settle()
        cancelled.cancel()
        gate.open()
        assert await first == "a"
        await left
        assert await threads.run(Client("d"), lambda: "d") == "d"
        assert ran == []

    run(test, count=1)


def test_errors_reach_the_request_and_free_the_thread():
    def fail() -> None:
        raise ValueError("a bug")

    async def test(threads: FairThreads) -> None:
        for _ in range(3):
            with pytest.raises(ValueError, match="a bug"):
                await threads.run(Client("a"), fail)

    run(test, count=1)


def test_threads_persist():
    async def test(threads: FairThreads) -> None:
        names = {
            await threads.run(Client("a"), lambda: threading.current_thread().name)
            for _ in range(20)
        }
        assert names <= {"web-0", "web-1"}

    run(test, count=2)


def test_a_budget_drops_what_has_lain_there_for_longest():
    dropped: list[str] = []
    budget = Budget(100)
    for name in "abc":
        budget.charge(name, 40, partial(dropped.append, name))
    assert dropped == ["a"]
    budget.release("b")
    budget.charge("d", 50, lambda: dropped.append("d"))
    assert dropped == ["a"]
    budget.charge("d", 20, lambda: dropped.append("d"))
    assert dropped == ["a", "c"]
    budget.charge("d", 1000, lambda: dropped.append("d"))
    assert dropped == ["a", "c"]  # the last one is bounded by its own limit


def test_connections_are_accepted_one_at_a_time():
    """Another process that shares the socket takes some of a burst in between."""
    accepted: list[asyncio.BaseTransport] = []

    class Noting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.append(transport)

    async def accept() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
            listening.setblocking(False)
            clients = [socket.create_connection(listening.getsockname()) for _ in range(16)]
            listener = Listener(listening, Noting)
            while not accepted:
                await asyncio.sleep(0)
            assert len(accepted) == 1
            while len(accepted) < len(clients):
                await asyncio.sleep(0.01)
            listener.close()
            for transport in accepted:
                transport.close()
            for client in clients:
                client.close()

    asyncio.run(asyncio.wait_for(accept(), 20))
