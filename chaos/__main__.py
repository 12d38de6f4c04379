"""`python -m chaos`: faults on two platforms at once, and the table of what they did.

Exits 1 where anything was lost, doubled or over-committed, where a recorded cycle gives another
plan, an answer was a 500, or service did not come back.
"""

import argparse
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

from chaos import report
from chaos.campaign import Campaign, Result, Say
from chaos.faults import deck
from chaos.platforms.compose import Compose
from chaos.platforms.make_run import MakeRun
from chaos.platforms.platform import Platform

PLATFORMS: dict[str, type[Platform]] = {each.name: each for each in (MakeRun, Compose)}
LAST_CHECKS_S = 60.0  # of the seconds given, for what follows the last fault
FEWEST = 0.5  # of the faults that were asked for; else the run proves too little


def main() -> int:
    options = _options()
    began = time.monotonic()
    stop = threading.Event()

    def leave(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)  # the platforms have to be stopped, too
    names = [options.platform] if options.platform else list(PLATFORMS)
    say = Teller(began)
    Platform.keep_log_in = options.logs
    say("", f"seed {options.seed}, {options.faults} faults on {' and '.join(names)}")
    with ThreadPoolExecutor(len(names)) as pool:
        running = [
            pool.submit(
                Campaign(
                    faults=options.faults // len(names),
                    seed=options.seed,
                    until=began + options.seconds - LAST_CHECKS_S,
                    backwards=name == Compose.name,
                    only=options.only,
                    stop=stop,
                ).run,
                PLATFORMS[name](),
                say.of(name),
            )
            for name in names
        ]
        results = [each.result() for each in running]
    took = f"{time.monotonic() - began:.0f} s"
    print(f"\n{report.table(results)}\n\n{report.summary(results)}\nSeed {options.seed}; {took}.")
    if options.json:
        options.json.write_text(report.as_json(results, options.seed))
    return verdict(results, options.faults)


def verdict(results: list[Result], asked: int) -> int:
    if found := report.findings(results):
        print(f"\nNot as it must be:\n{found}", file=sys.stderr)
        return 1
    injected = sum(len(result.faults) for result in results)
    if injected < asked:
        print(f"Only {injected} of {asked} faults fitted into the time.", file=sys.stderr)
    return 0 if injected >= asked * FEWEST else 1


class Teller:
    """Prints lines of several threads, with the time and the platform."""

    def __init__(self, began: float) -> None:
        self._began, self._lock = began, threading.Lock()

    def __call__(self, name: str, line: str) -> None:
        with self._lock:
            print(
                f"{time.monotonic() - self._began:6.1f} {name:{len(MakeRun.name)}} {line}",
                flush=True,
            )

    def of(self, name: str) -> Say:
        return lambda line: self(name, line)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    add = parser.add_argument
    add("--faults", type=int, default=500, help="on all platforms together (500)")
    add("--seed", type=int, default=1, help="which faults, in which order, for how long (1)")
    add("--seconds", type=float, default=6 * 3600.0, help="no fault begins in their last minute")
    add("--platform", choices=PLATFORMS, help="one alone; else both at the same time")
    add("--only", default="", help="a part of the kinds' names, such as `Redis:`")
    add("--json", type=Path, metavar="FILE", help="where to write all figures")
    add("--logs", type=Path, metavar="FOLDER", help="where to keep the platforms' logs")
    add("--list", action="store_true", help="print the kinds of faults, and inject none")
    options = parser.parse_args()
    if options.list:
        for kind in deck.every_kind(Compose()):
            print(kind.name)
        sys.exit(0)
    return options


if __name__ == "__main__":
    sys.exit(main())
