"""Sends the answers of a worker's readings to Redis, all in one thread.

What readings write while a round trip is under way goes with the next one. So a log of many short
lines costs few commands, and a line that comes alone waits for nothing.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from threading import Event, Lock, Thread

from redis.exceptions import RedisError

from deployments.output.answers import FIRST_LOOK_S, Answer, Part
from deployments.output.exchange import ALIVE_EVERY_S, KEPT_S, Failure, Request, entry_id
from mlops_platform.coordination.redis import redis_client

logger = logging.getLogger(__name__)

GAP_S = 0.01  # between two round trips
AWAY_S = 0.5  # after an error
AT_ONCE = 8  # answers in one round trip
REPEATED = "equal or smaller"  # in Redis's error for a part that it has already

Due = tuple[Answer, list[tuple[int, Part]]]


class Sender:
    """Sends for all answers of this process, in a thread that `start` begins."""

    def __init__(self) -> None:
        self._come = Event()
        self._lock = Lock()
        self._answers: dict[str, Answer] = {}
        self._stopped = False
        self._thread = Thread(target=self._run, name="output", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End all answers: their readers learn at once that the worker ends."""
        with self._lock:
            self._stopped = True
            for each in self._answers.values():
                each.fail(Failure.WORKER)
        self._come.set()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def begin(self, request: Request) -> Answer:
        answer = Answer(request, self._come)
        with self._lock:
            if self._stopped:
                answer.fail(Failure.WORKER)
            self._answers[request.id] = answer
        self._come.set()
        return answer

    # --- In the thread ---

    def _run(self) -> None:
        while True:
            self._come.wait(self._longest_wait_s())
            self._come.clear()
            with self._lock:
                answers = list(self._answers.values())
                if self._stopped and not answers:
                    return
            starts = range(0, len(answers), AT_ONCE)
            pauses = [self._turn_in_peace(answers[at : at + AT_ONCE]) for at in starts]
            if pause_s := max(pauses, default=0.0):
                Event().wait(pause_s)

    def _longest_wait_s(self) -> float | None:
        with self._lock:
            if any(each.is_full for each in self._answers.values()):
                return FIRST_LOOK_S
            return ALIVE_EVERY_S / 4 if self._answers or self._stopped else None

    def _turn_in_peace(self, answers: Sequence[Answer]) -> float:
        """A fault of our own ends these answers, and no others."""
        try:
            return self._turn(answers)
        except Exception:
            logger.exception("output was not sent")
            for each in answers:
                self._drop(each)
            return AWAY_S

    def _turn(self, answers: Sequence[Answer]) -> float:
        """Sends what there is, in one round trip; returns how long to pause, in seconds."""
        due: list[Due] = [(each, parts) for each in answers if (parts := each.due()) is not None]
        if not due:
            return 0.0
        try:
            with redis_client().pipeline(transaction=False) as pipe:
                for answer, parts in due:
                    key = answer.request.answer
                    for number, (kind, data) in parts:
                        pipe.xadd(key, {"kind": kind, "data": data}, id=entry_id(number))
                    pipe.expire(key, KEPT_S)
                    pipe.xlen(key)
                    pipe.exists(answer.request.lease)
                replies = iter(pipe.execute(raise_on_error=False))
            errors = [self._settle(each, replies) for each in due]
            error = next(filter(None, errors), None)
        except RedisError as away:
            error = away
            for answer, _ in due:
                self._drop_late(answer)
        if error is not None:
            logger.warning("output waits: redis is away or full", extra={"error": str(error)})
        return GAP_S if error is None else AWAY_S

    def _settle(self, due: Due, replies: Iterator[object]) -> Exception | None:
        """Notes what Redis has said of one answer; returns its error."""
        answer, parts = due
        said = [next(replies) for _ in range(len(parts) + 3)]
        for each in said:
            if isinstance(each, Exception) and REPEATED not in str(each):
                self._drop_late(answer)
                return each
        *_, unread, is_read = said
        if not is_read:
            self._drop(answer)
        elif answer.note_sent(int(str(unread))):
            self._forget(answer)
        return None

    def _drop_late(self, answer: Answer) -> None:
        if answer.is_late():
            self._drop(answer)

    def _drop(self, answer: Answer) -> None:
        """Its reader is gone."""
        self._forget(answer)
        with suppress(RedisError):  # then it expires
            redis_client().delete(answer.request.answer)

    def _forget(self, answer: Answer) -> None:
        answer.give_up()  # its log may still be read, where the worker ends
        with self._lock:
            self._answers.pop(answer.request.id, None)
