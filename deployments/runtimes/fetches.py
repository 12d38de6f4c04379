"""What is fetched of buckets before a container starts, and how the program that does so is called
and answers. The program is deployments/fetch, in the platform's own image.

It reads one JSON document, DOCUMENT, which has the credentials too: no argument, variable or label
of its container has any.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

COMMAND: Final = ("python", "-m", "deployments.fetch")
FOLDER: Final = "/run/fetch"  # of the document, in the fetching container
DOCUMENT: Final = "fetch.json"
INTO: Final = "/fetched"  # the folder of the volumes, in the fetching container
# What its container has at least, however little the deployment asks for.
LEAST_CPU_MILLI, LEAST_RAM_MIB = 500, 256
# How the program ends, other than with 0.
FAILED, DELAYED = 10, 11


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where the objects of one mount come from. `judged`: its address is one that a tenant gave."""

    volume: str
    endpoint: str
    bucket: str
    prefix: str  # a folder of the bucket; empty: all of it
    region: str
    max_mib: int
    judged: bool = True
    access_key_id: str = field(default="", repr=False)
    secret_access_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Fetch:
    """What an attempt fetches into its mounts: `buckets`, by the path of the mount."""

    image: str
    buckets: dict[str, Bucket]
    within_s: int
    ranges: Sequence[str] = ()  # in which addresses of tenants lie; empty: all
    most_mib: int | None = None  # of all of them together

    def folder(self, path: str) -> str:
        """Where the fetching container has the volume of a mount."""
        return f"{INTO}/{list(self.buckets).index(path)}"

    def document(self) -> str:
        """For the program, and nothing else: it has the credentials."""
        buckets: list[dict[str, Any]] = [
            {**asdict(bucket), "to": self.folder(path)} for path, bucket in self.buckets.items()
        ]
        return json.dumps(
            {
                "buckets": buckets,
                "within_s": self.within_s,
                "ranges": list(self.ranges),
                "most_mib": self.most_mib,
            }
        )
