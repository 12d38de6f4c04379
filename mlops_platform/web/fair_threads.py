"""Threads that organizations and users share fairly: each has its share, and those that wait take
turns."""

import asyncio
import itertools
import queue
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from mlops_platform.web import limits
from mlops_platform.web.clients import STRANGERS, Client

T = TypeVar("T")
GROUPS = 1000  # whose last turn is remembered, beside those that run or wait
_Item = tuple[Callable[[], Any], Callable[[Any, BaseException | None], object]]


class _Turn(NamedTuple):
    """Of a request that waits."""

    client: Client
    came: "asyncio.Future[None]"


class Busy(Exception):  # noqa: N818 - a state of the server, not a mistake
    """No thread comes free in time. `by_client`: the client, or its organization, has too many
    requests waiting."""

    def __init__(self, by_client: bool) -> None:
        super().__init__()
        self.by_client = by_client


class FairThreads:
    """Persistent threads, which keep their database connections. All methods are the loop's.

    Half of the threads run requests of one user or address at most, and half of them those of one
    organization (of a single thread, that one): two organizations are needed to take all that they
    can. Requests of strangers, whose organization is not known yet or who have none, leave a
    quarter of the threads to others. Requests beyond wait. A free thread goes to the organization
    whose last turn is longest ago, and of its clients to the one of which that is so.
    """

    def __init__(self, count: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._count = count
        self._share = max(count // 2, 1)
        self._of_strangers = min(max(count * 3 // 4, self._share + 1), count)
        self._running: list[Client] = []
        self._waiting: OrderedDict[str, deque[_Turn]] = OrderedDict()  # by the clients' names
        self._turn = itertools.count(1)
        self._last_turn: dict[str, int] = {}  # by group
        self._work: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._serve, name=f"web-{n}", daemon=True) for n in range(count)
        ]
        for thread in self._threads:
            thread.start()

    async def run(
        self, client: Client, work: Callable[[], T], is_wanted: Callable[[], bool] = lambda: True
    ) -> T | None:
        """What `work` returns, once a thread has run it; None where it is not wanted any more when
        its turn comes. Raises Busy, and what `work` raises."""
        if self._may_run(client, self._taken()):
            self._start(client)
        else:
            await self._wait(client)
            if not is_wanted():
                self._end(client)
                return None
        done: asyncio.Future[Any] = self._loop.create_future()

        def finish(result: Any, error: BaseException | None) -> None:
            self._loop.call_soon_threadsafe(self._finish, client, done, result, error)

        self._work.put((work, finish))
        result: T = await done
        return result

    def look_up(self, organization_of: Callable[[Client], None]) -> None:
        """Have what runs and waits count for the organizations that are known now."""
        turns = [turn for own in self._waiting.values() for turn in own]
        for each in (*self._running, *(turn.client for turn in turns)):
            organization_of(each)
            self._last_turn.setdefault(each.group, next(self._turn))
        self._give_turns()

    def stop(self) -> None:
        for _ in self._threads:
            self._work.put(None)

    async def _wait(self, client: Client) -> None:
        """Returns with a thread taken for the client."""
        all_ = [each.client for own in self._waiting.values() for each in own]
        if len(all_) >= limits.WAITING:
            raise Busy(by_client=False)
        own = self._waiting.get(client.name, ())
        of_group = sum(each.group == client.group for each in all_)
        if len(own) >= limits.WAITING_OF_CLIENT or of_group >= limits.WAITING_OF_ORGANIZATION:
            raise Busy(by_client=True)
        turn = _Turn(client, self._loop.create_future())
        self._waiting.setdefault(client.name, deque()).append(turn)
        if not of_group:  # its turn is behind those of all that wait
            self._last_turn[client.group] = next(self._turn)
        late = self._loop.call_later(limits.TURN_S, self._give_up, turn)
        came = turn.came
        try:
            await came
        except asyncio.CancelledError:
            if came.done() and not came.cancelled() and came.exception() is None:
                self._end(client)
            else:
                self._leave(turn)
            raise
        finally:
            late.cancel()

    def _give_up(self, turn: _Turn) -> None:
        if not turn.came.done():
            self._leave(turn)
            turn.came.set_exception(Busy(by_client=False))

    def _leave(self, turn: _Turn) -> None:
        own = self._waiting.get(turn.client.name, deque())
        if turn in own:
            own.remove(turn)
        if not own:
            self._waiting.pop(turn.client.name, None)

    def _taken(self) -> Counter[str]:
        """How many threads each share has taken."""
        return Counter(share for each in self._running for share in each.shares)

    def _may_run(self, client: Client, taken: Counter[str]) -> bool:
        return len(self._running) < self._count and all(
            taken[share] < (self._of_strangers if share == STRANGERS else self._share)
            for share in client.shares
        )

    def _start(self, client: Client) -> None:
        client.begin()
        self._running.append(client)
        self._last_turn[client.group] = next(self._turn)

    def _end(self, client: Client) -> None:
        self._running.remove(client)
        self._give_turns()
        if len(self._last_turn) > GROUPS:
            waiting = [turn.client for own in self._waiting.values() for turn in own]
            groups = {each.group for each in (*self._running, *waiting)}
            self._last_turn = {each: self._last_turn.get(each, 0) for each in groups}

    def _give_turns(self) -> None:
        """Free threads go to those within their shares whose turn it is."""
        while len(self._running) < self._count:
            taken = self._taken()
            first = (own[0] for own in self._waiting.values())
            able = [turn for turn in first if self._may_run(turn.client, taken)]
            if not able:
                return
            turn = min(able, key=lambda each: self._last_turn.get(each.client.group, 0))
            self._waiting.move_to_end(turn.client.name)
            self._leave(turn)
            self._start(turn.client)
            turn.came.set_result(None)

    def _finish(
        self, client: Client, done: "asyncio.Future[Any]", result: Any, error: BaseException | None
    ) -> None:
        self._end(client)
        if done.done():  # the request's task was cancelled
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def _serve(self) -> None:
        while (item := self._work.get()) is not None:
            work, finish = item
            result, error = None, None
            try:
                result = work()
            except BaseException as raised:
                error = raised
            del work, item
            try:
                finish(result, error)
            except RuntimeError:  # the loop has closed
                return
