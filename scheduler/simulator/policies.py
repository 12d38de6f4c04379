"""Policies, parsed from their names and turned into names."""

from dataclasses import fields
from typing import Any

from scheduler.engine import snapshot as names
from scheduler.engine.snapshot import Policy
from scheduler.simulator.jobs import SpecError

VALUES = {
    "queueing": (names.BEST_EFFORT, names.STRICT, names.EASY_BACKFILL),
    "ordering": (names.GPU_WEIGHTED, names.FIFO, names.FAIR_SHARE),
    "preemption": (names.LOWER_PRIORITY, names.NEVER),
    "placement": (names.BINPACK, names.SPREAD),
    "preemption_within_quota": (names.LOWER_PRIORITY, names.NEVER),
}
HELP = """\
words and settings with commas, what is left out as for a new cluster:
    strict,fifo
    easy_backfill,ordering=fifo,preemption=never
    best_effort,fair_share
    best_effort,reserve_after_s=600,max_preemptions=2"""


def parse(text: str) -> Policy:
    """Parse the form in HELP; raises SpecError for an unknown word or setting."""
    chosen: dict[str, Any] = {}
    for word in text.split(","):
        name, _, value = word.strip().rpartition("=")
        if not name:
            name = _named_by(value)
        chosen[name] = _value(word, name, value)
    return Policy(**chosen)


def _named_by(value: str | int) -> str:
    """The setting that a value alone means; empty if there is none."""
    return next((each for each, values in VALUES.items() if value in values), "")


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
    """The shortest text with queueing and ordering that `parse` reads as this policy."""
    usual = Policy()
    words = [policy.queueing, policy.ordering]
    for field in fields(Policy):
        value = getattr(policy, field.name)
        if field.name not in ("queueing", "ordering") and value != getattr(usual, field.name):
            words.append(value if _named_by(value) == field.name else f"{field.name}={value}")
    return ",".join(words)
