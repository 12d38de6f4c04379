"""`python -m scheduler.timer`: takes turns until a signal ends it."""

import os
import signal
from threading import Event
from types import FrameType

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlops_platform.settings")
    django.setup()
    # After the set-up: they import models.
    from scheduler.timer import heartbeat, loop
    from scheduler.timer.turn import Turn

    stop = Event()

    def leave(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    loop.run(Turn().take, stop, heartbeat.beat)


main()
