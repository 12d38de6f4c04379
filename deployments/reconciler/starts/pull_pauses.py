"""Pauses before an image that could not be pulled is tried again at an endpoint.

They are in Redis, so that the workers of all machines share them. What Redis loses is tried at
once, and its pauses begin anew.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from deployments.lifecycle.retry_backoff import FIRST_RETRY_S, LAST_RETRY_S
from mlops_platform.coordination.redis import redis_client

FORGET_S = 3600


@dataclass(frozen=True)
class Pause:
    """`tries` have failed since the first of them; the next one comes at `retry_at`."""

    since: datetime
    tries: int
    retry_at: datetime
    said: str

    def details(self) -> dict[str, Any]:
        times = {"since": self.since.isoformat(), "retry_at": self.retry_at.isoformat()}
        return {"said": self.said, "tries": self.tries, **times}


def read(endpoint_id: UUID, image: str) -> Pause | None:
    """The pause after the last failure, which may be over; None where the last pull was sound."""
    found = redis_client().get(_key(endpoint_id, image))
    if not found:
        return None
    given = json.loads(found)
    times = {name: datetime.fromisoformat(given[name]) for name in ("since", "retry_at")}
    return Pause(tries=given["tries"], said=given["said"], **times)


def extend(endpoint_id: UUID, image: str, said: str, now: datetime) -> Pause:
    """The pause after one more failure: 10, 20, 40, … 300 seconds."""
    before = read(endpoint_id, image)
    failures = before.tries if before else 0
    pause_s = min(FIRST_RETRY_S * 2 ** min(failures, 10), LAST_RETRY_S)
    retry_at = now + timedelta(seconds=pause_s)
    pause = Pause(before.since if before else now, failures + 1, retry_at, said)
    text = json.dumps(asdict(pause), default=datetime.isoformat)
    redis_client().set(_key(endpoint_id, image), text, ex=FORGET_S)
    return pause


def end(endpoint_id: UUID, image: str) -> None:
    redis_client().delete(_key(endpoint_id, image))


def _key(endpoint_id: UUID, image: str) -> str:
    return f"endpoint:{endpoint_id}:pull-pause:{image}"
