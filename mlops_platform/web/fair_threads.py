"""Threads that clients share fairly: each has its share, and those that wait take turns."""

import asyncio
import queue
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Any, TypeVar

from mlops_platform.web import limits

T = TypeVar("T")
_Item = tuple[Callable[[], Any], Callable[[Any, BaseException | None], object]]


class Busy(Exception):  # noqa: N818 - a state of the server, not a mistake
    """No thread comes free in time. `by_client`: the client has too many requests waiting."""

    def __init__(self, by_client: bool) -> None:
        super().__init__()
        self.by_client = by_client


class FairThreads:
    """Persistent threads, which keep their database connections. All methods are the loop's.

    A client runs at most half of the threads at once (of a single thread, that one), so that two
    clients are needed to take all of them. Requests beyond wait; a free thread goes to the client
    whose last turn is longest ago.
    """

    def __init__(self, count: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._share = max(count // 2, 1)
        self._free = count
        self._running: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._count_waiting = 0
        self._work: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._serve, name=f"web-{n}", daemon=True) for n in range(count)
        ]
        for thread in self._threads:
            thread.start()

    async def run(
        self, client: str, work: Callable[[], T], is_wanted: Callable[[], bool] = lambda: True
    ) -> T | None:
        """What `work` returns, once a thread has run it; None where it is not wanted any more when
        its turn comes. Raises Busy, and what `work` raises."""
        if self._free and self._running[client] < self._share:
            self._start(client)
        else:
            await self._turn(client)
            if not is_wanted():
                self._end(client)
                return None
        done: asyncio.Future[Any] = self._loop.create_future()

        def finish(result: Any, error: BaseException | None) -> None:
            self._loop.call_soon_threadsafe(self._finish, client, done, result, error)

        self._work.put((work, finish))
        result: T = await done
        return result

    def stop(self) -> None:
        for _ in self._threads:
            self._work.put(None)

    async def _turn(self, client: str) -> None:
        """Returns with a thread taken for the client."""
        if self._count_waiting >= limits.WAITING:
            raise Busy(by_client=False)
        own = self._waiting.setdefault(client, deque())
        if len(own) >= limits.WAITING_OF_CLIENT:
            raise Busy(by_client=True)
        turn: asyncio.Future[None] = self._loop.create_future()
        own.append(turn)
        self._count_waiting += 1
        late = self._loop.call_later(limits.TURN_S, self._give_up, client, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._end(client)
            else:
                self._leave(client, turn)
            raise
        finally:
            late.cancel()

    def _give_up(self, client: str, turn: "asyncio.Future[None]") -> None:
        if not turn.done():
            self._leave(client, turn)
            turn.set_exception(Busy(by_client=False))

    def _leave(self, client: str, turn: "asyncio.Future[None]") -> None:
        own = self._waiting.get(client, deque())
        if turn in own:
            own.remove(turn)
            self._count_waiting -= 1
        if not own:
            self._waiting.pop(client, None)

    def _start(self, client: str) -> None:
        self._free -= 1
        self._running[client] += 1

    def _end(self, client: str) -> None:
        """A thread is free: the next turn is that of the first client below its share."""
        self._free += 1
        self._running[client] -= 1
        if not self._running[client]:
            del self._running[client]
        for each, own in self._waiting.items():
            if self._running[each] < self._share:
                turn = own.popleft()
                self._count_waiting -= 1
                self._waiting.move_to_end(each)
                if not own:
                    del self._waiting[each]
                self._start(each)
                turn.set_result(None)
                return

    def _finish(
        self, client: str, done: "asyncio.Future[Any]", result: Any, error: BaseException | None
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
