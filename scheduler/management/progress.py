"""The progress of a long command, on standard error."""

from time import monotonic
from types import TracebackType
from typing import Self

from django.core.management.base import OutputWrapper

ON_A_TERMINAL_S, IN_A_LOG_S = 0.2, 10.0


class Progress:
    """Writes `label: 34 %, 2,000 of 5,900 jobs, 420/s`: one changing line on a terminal, in a log a
    new line every IN_A_LOG_S seconds."""

    def __init__(self, to: OutputWrapper, label: str, what: str) -> None:
        self._to, self._label, self._what = to, label, what
        self._live = to.isatty()
        self._began = self._reported = monotonic()
        self._width = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        if self._width:
            self._to.write("\r" + " " * self._width + "\r", ending="")
            self._to.flush()

    def report(self, done: int, total: int, waiting: int | None = None) -> None:
        now = monotonic()
        if now - self._reported < (ON_A_TERMINAL_S if self._live else IN_A_LOG_S):
            return
        self._reported = now
        rate = done / (now - self._began)
        line = f"{self._label}: {100 * done // max(total, 1)} %"
        line += f", {done:,} of {total:,} {self._what}, {rate:,.0f}/s"
        line += f", {waiting:,} waiting" if waiting is not None else ""
        if self._live:
            self._to.write("\r" + line.ljust(self._width), ending="")
            self._width = len(line)
            self._to.flush()
        else:
            self._to.write(line)
