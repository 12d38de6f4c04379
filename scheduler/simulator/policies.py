"""Policies by their names."""

from dataclasses import fields
from typing import Any

from scheduler.engine import snapshot as told
from scheduler.engine.snapshot import Policy
from scheduler.simulator.jobs import SpecError

VALUES = {
    "queueing": (told.BEST_EFFORT, told.STRICT, told.EASY_BACKFILL),
    "ordering": (told.GPU_WEIGHTED, told.FIFO, told.FAIR_SHARE),
    "preemption": (told.LOWER_PRIORITY, told.NEVER),
    "placement": (told.BINPACK, told.SPREAD),
}
HELP = """\
words and settings with commas, what is left out as for a new cluster:
    strict,fifo
    easy_backfill,ordering=fifo,preemption=never
    best_effort,fair_share
    best_effort,reserve_after_s=600,max_preemptions=2"""


def parse(text: str) -> Policy:
    """Raises SpecError where a word or a setting is none."""
    chosen: dict[str, Any] = {}
    for word in text.split(","):
        name, _, value = word.strip().rpartition("=")
        if not name:
            name = next((each for each, values in VALUES.items() if value in values), "")
        chosen[name] = _value(word, name, value)
    return Policy(**chosen)


def _value(word: str, name: str, value: str) -> str | int:
    known = [field.name for field in fields(Policy)]
    if name not in known:
        every = [each for values in VALUES.values() for each in values]
        raise SpecError(
            f"{word!r} is no policy; there are {', '.join(every)}, and {', '.join(known)} with =."
        )
    if name in VALUES:
        if value not in VALUES[name]:
            raise SpecError(f"{name} is one of {', '.join(VALUES[name])}, not {value!r}.")
        return value
    if not value.isdecimal():
        raise SpecError(f"{name} is a whole number, not {value!r}.")
    return int(value)


def name_of(policy: Policy) -> str:
    """The shortest text that `parse` reads as this policy, queueing and ordering always in it."""
    usual = Policy()
    words = [policy.queueing, policy.ordering]
    for field in fields(Policy):
        value = getattr(policy, field.name)
        if field.name not in ("queueing", "ordering") and value != getattr(usual, field.name):
            words.append(value if field.name in VALUES else f"{field.name}={value}")
    return ",".join(words)
