"""What the starts that failed on a node say of it: the platform cordons a node on which they fail
one after another, and tries it again. Pure: no clock, no database.

A node is cordoned once `most` starts in a row have failed there that speak against the node, of
different deployments, and none has succeeded in between. After a pause one deployment is let
through, the probe: its success opens the node, its failure doubles the pause.

A success counts until its deployment turns out to have been ended by its machine at once: then it
was none, and what had failed before counts on.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

MOST_SUCCESSES = 5  # that are remembered


@dataclass(frozen=True, slots=True)
class Limits:
    most: int  # failed starts in a row
    first_pause_s: int
    last_pause_s: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A start that failed. Of several with the same `key` one counts: they have the same cause.

    `disrupted`: it did start, and its machine ended it at once. Those that were admitted before the
    last one was noted have ended by the same incident, and do not count.
    """

    key: str
    deployment_id: str
    code: str
    said: str
    admitted_at: datetime
    disrupted: bool = False
    name: str = ""  # of the deployment and its owner, which may be gone when it is read


@dataclass
class FailedStarts:
    """The column `Node.failed_starts`. Moments are in ISO format."""

    failed: list[dict[str, Any]] = field(default_factory=list)  # oldest first
    succeeded: list[str] = field(default_factory=list)  # ids of deployments, since the last failure
    pause_s: int = 0
    since: str | None = None  # when it was cordoned; None: it is not
    next_try_at: str | None = None
    probe: str | None = None  # id of the deployment that is let through

    @classmethod
    def read(cls, column: Mapping[str, Any] | None) -> "FailedStarts":
        return cls(**deepcopy(dict(column))) if column else cls()

    def column(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def is_closed(self) -> bool:
        """Whether nothing (else) may start there. In between, it waits for its probe."""
        return self.since is not None and (self.next_try_at is not None or self.probe is not None)

    @property
    def awaits_probe(self) -> bool:
        return self.since is not None and not self.is_closed

    def is_due(self, now: datetime) -> bool:
        return self.next_try_at is not None and datetime.fromisoformat(self.next_try_at) <= now

    def fail(self, failure: Failure, now: datetime, limits: Limits) -> bool:
        """Note a failure; returns whether the node is cordoned for it, or again."""
        is_probe = self.probe == failure.deployment_id
        if failure.disrupted:
            if failure.deployment_id in self.succeeded:
                self.succeeded.remove(failure.deployment_id)
            elif not is_probe and self._is_same_incident(failure):
                return False
        if self.succeeded:
            self.failed, self.succeeded, self.pause_s = [], [], 0
        others = [each for each in self.failed if each["key"] != failure.key]
        entry = {
            "key": failure.key,
            "deployment_id": failure.deployment_id,
            "name": failure.name,
            "code": failure.code,
            "said": failure.said,
            "at": now.isoformat(),
            "disrupted": failure.disrupted,
        }
        self.failed = [*others, entry][-limits.most :]
        if is_probe or (self.since is None and len(self.failed) >= limits.most):
            self._close(now, limits)
            return True
        return False

    def succeed(self, deployment_id: str) -> bool:
        """Note a success; returns whether it has opened the node."""
        if deployment_id not in self.succeeded and len(self.succeeded) < MOST_SUCCESSES:
            self.succeeded.append(deployment_id)
        was_cordoned = self.since is not None
        self.since = self.next_try_at = self.probe = None
        return was_cordoned

    def await_probe(self) -> None:
        """The pause is over, or the probe has left without an outcome."""
        self.next_try_at = self.probe = None

    def _is_same_incident(self, failure: Failure) -> bool:
        last = self.failed[-1] if self.failed else None
        return (
            last is not None
            and last["disrupted"]
            and failure.admitted_at <= datetime.fromisoformat(last["at"])
        )

    def _close(self, now: datetime, limits: Limits) -> None:
        longest = max(limits.first_pause_s, limits.last_pause_s)
        self.pause_s = min(max(limits.first_pause_s, 2 * self.pause_s), longest)
        self.since = self.since or now.isoformat()
        self.next_try_at = (now + timedelta(seconds=self.pause_s)).isoformat()
        self.probe = None


def sentence(column: Mapping[str, Any] | None) -> str:
    """Why the node is cordoned, and when it is tried again; empty where it is not."""
    found = FailedStarts.read(column)
    if found.since is None:
        return ""
    last = found.failed[-1] if found.failed else {}
    said = f" ({last['code']}: {last['said']})" if last.get("said") else ""
    why = f"Starts failed here one after another{said}"
    if found.next_try_at is not None:
        return f"{why}: it is tried again at {_in_words(found.next_try_at)}."
    if found.probe is not None:
        return f"{why}: {found.probe} is trying it."
    return f"{why}: the next deployment that starts here tries it."


def _in_words(iso: str) -> str:
    return f"{iso[:19].replace('T', ' ')} UTC"
