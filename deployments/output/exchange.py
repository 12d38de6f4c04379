"""What passes over Redis where a log is read: a request, and an answer in parts.

`web` appends the request to a list, from which one worker takes it. The answer is a Redis stream
whose entries are numbered from 1. It has MOST_PARTS at a time: the reader removes what it has read,
and the worker waits for room. A lease says that the reader is there, and an empty part each second
that the worker is. A key of a reading that was left behind expires.
"""

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from deployments.log_selection import LogQuery

REQUESTS = "output:requests"
WORKERS = "output:workers"  # exists while a worker takes requests
WORKERS_S = 5

PART_BYTES = 32 * 1024
MOST_PARTS = 8  # 256 KiB of each reading are in Redis at most
ALIVE_EVERY_S = 1.0
SILENT_S = 6.0  # without any part: the other side is gone
LEASE_S = 10  # of a reader, renewed by its process
LEASE_EVERY_S = 2.0
KEPT_S = 60  # of an answer that is not read further

REQUESTS_S = 30  # of requests that no worker takes
MOST_REQUESTS = 64  # that wait for a worker


class Kind(StrEnum):
    """What a part is. OPENED comes before any TEXT, and after ENDED or FAILED comes nothing."""

    ALIVE = "alive"
    OPENED = "opened"
    TEXT = "text"
    ENDED = "ended"
    FAILED = "failed"


class Failure(StrEnum):
    """Why a reading has failed: the first word of a FAILED part, before a sentence."""

    ENDPOINT = "endpoint"  # it does not answer
    TOO_MANY = "too_many"  # readings of this organization, at this endpoint, or of all
    NO_TIMES = "no_times"  # it was kept without the times that are asked for
    WORKER = "worker"  # it was asked to end
    INTERNAL = "internal"  # a fault of our own, which the worker has logged


@dataclass(frozen=True, slots=True)
class Request:
    """A reading that is asked for. `id` names its keys."""

    id: str
    deployment_id: str
    query: LogQuery

    @property
    def answer(self) -> str:
        return f"output:{self.id}"

    @property
    def lease(self) -> str:
        return f"output:{self.id}:reader"

    def packed(self) -> str:
        query: dict[str, Any] = self.query._asdict()
        for name in ("since", "until"):
            query[name] = query[name] and query[name].isoformat()
        query["grep"] = base64.b64encode(self.query.grep).decode()
        return json.dumps({"id": self.id, "deployment_id": self.deployment_id, "query": query})


def unpacked(text: str | bytes) -> Request:
    """Raises ValueError, KeyError or TypeError for what is no request of this version."""
    found = json.loads(text)
    query = found["query"]
    for name in ("since", "until"):
        query[name] = query[name] and datetime.fromisoformat(query[name])
    query["grep"] = base64.b64decode(query["grep"])
    return Request(str(found["id"]), str(found["deployment_id"]), LogQuery(**query))


def entry_id(number: int) -> str:
    """The id of a part in its stream: adding one again is an error, and changes nothing."""
    return f"{number}-1"


def number_of(entry: str) -> int:
    return int(entry.partition("-")[0])
