"""One platform under load: fault after fault, then the checks at the end."""

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psutil
import psycopg2
import redis

from chaos.checks import final, recovery
from chaos.checks.capacity import Watch
from chaos.checks.findings import Breach, Finding
from chaos.checks.recovery import Recovery
from chaos.faults import deck
from chaos.faults.kind import NotInjected
from chaos.load.calls import BAD, Came, Tally, Trouble
from chaos.load.journal import Journal
from chaos.load.load import Load
from chaos.load.members import set_up
from chaos.platforms.platform import Platform

WARM_UP_S = 3.0
SECOND_CHANCE_S = 120.0  # for a platform that has not recovered in time

Say = Callable[[str], None]


@dataclass(frozen=True)
class Fault:
    """A fault that was injected. Times are by time.monotonic()."""

    kind: str
    began_at: float
    over_at: float
    recovery: Recovery


@dataclass
class Result:
    """Of one platform. `reasons` say why kinds were left out, or could not be injected."""

    platform: str
    faults: list[Fault] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    calls: Counter[Came] = field(default_factory=Counter)
    troubles: list[Trouble] = field(default_factory=list)
    acknowledged: int = 0
    samples: int = 0
    cycles: int = 0

    def fault_at(self, moment: float) -> Fault | None:
        """The fault that had begun last at that moment."""
        begun = [fault for fault in self.faults if fault.began_at <= moment]
        return begun[-1] if begun else None


@dataclass(frozen=True)
class Campaign:
    """How many faults, of which seed. No fault begins after `until`, by time.monotonic(), or once
    `stop` is set."""

    faults: int
    seed: int
    until: float
    backwards: bool
    only: str = ""  # a part of the kinds' names
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, platform: Platform, say: Say) -> Result:
        """Raises DidNotStart, and what the load may have met that it did not foresee."""
        result = Result(platform.name, reasons=deck.impossible(platform))
        tally, journal = Tally(), Journal(f"chaos-{platform.name.replace(' ', '-')}")
        with platform:
            say("it runs")
            world = set_up(platform, tally)
            with Watch(platform.sql) as watch:
                with Load(world, journal, self.seed) as load:
                    time.sleep(WARM_UP_S)
                    result.findings += self._inject(platform, load, journal, result, say)
                say("the load has stopped")
                if not platform.has_ended():
                    load.stop_the_rest()
                    result.findings += last_checks(platform, journal, result)
            result.samples, result.findings = watch.samples, result.findings + watch.findings
            if any(each.breach is Breach.PLATFORM for each in result.findings):
                say(platform.last_words())
        result.calls, result.troubles = tally.counts, tally.troubles
        result.acknowledged = sum(each.acknowledged_at is not None for each in journal.submits)
        result.findings += [
            Finding(Breach.BROKEN, each.at, each.sentence)
            for each in tally.troubles
            if each.came in BAD
        ]
        if load.errors:
            raise load.errors[0]
        return result

    def _inject(
        self, platform: Platform, load: Load, journal: Journal, result: Result, say: Say
    ) -> Iterator[Finding]:
        kinds = [kind for kind in deck.possible(platform) if self.only in kind.name]
        for kind, draw in deck.deal(kinds, self.seed, backwards=self.backwards):
            enough = len(result.faults) >= self.faults
            if enough or time.monotonic() > self.until or self.stop.is_set():
                return
            lasts_s = draw.uniform(*kind.lasts_s)
            began_at = time.monotonic()
            try:
                kind.inject(platform, draw, lasts_s)
            except (NotInjected, psycopg2.Error, redis.RedisError, psutil.Error) as error:
                result.reasons[kind.name] = str(error).strip()
                say(f"{kind.name}: not injected: {error}")
                if len(kinds) == 1:
                    return
                continue
            over_at = time.monotonic()
            fault = Fault(kind.name, began_at, over_at, recovery.measure(load, journal))
            result.faults.append(fault)
            say(f"{len(result.faults)}: {kind.name} {_told(fault)}")
            if platform.has_ended():
                yield Finding(Breach.PLATFORM, over_at, "it has ended by itself")
                return
            measured = fault.recovery
            if None in {measured.runs, measured.reads, measured.ends}:
                sentence = f"not within {recovery.LIMIT_S:.0f} s: {_told(fault)}"
                yield Finding(Breach.NO_RECOVERY, over_at, sentence)
                if not _comes_back(load, journal):
                    yield Finding(Breach.PLATFORM, over_at, "it serves no more")
                    return


def last_checks(platform: Platform, journal: Journal, result: Result) -> Iterator[Finding]:
    """What `final.check` finds; that nothing can be read is a finding, too."""
    try:
        yield from final.check(platform, journal)
        result.cycles = final.cycles(platform)
    except (psycopg2.Error, redis.RedisError, subprocess.TimeoutExpired) as error:
        yield Finding(Breach.PLATFORM, None, f"what it has kept cannot be read: {error}")


def _comes_back(load: Load, journal: Journal) -> bool:
    deadline = time.monotonic() + SECOND_CHANCE_S
    while time.monotonic() < deadline:
        measured = recovery.measure(load, journal)
        if None not in {measured.runs, measured.reads, measured.ends}:
            return True
    return False


def _told(fault: Fault) -> str:
    values = {
        "runs": fault.recovery.runs,
        "reads": fault.recovery.reads,
        "ends": fault.recovery.ends,
    }
    words = [
        f"{name} never" if seconds is None else f"{name} {seconds:.1f} s"
        for name, seconds in values.items()
    ]
    return f"({fault.over_at - fault.began_at:.1f} s): {', '.join(words)}"
