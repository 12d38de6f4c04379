"""Reads one bucket: its objects' list, and their contents into files."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import botocore.session
from botocore import UNSIGNED
from botocore.config import Config

from deployments.fetch import guard
from deployments.fetch.faults import Delayed, Failed, fault_of

CONNECT_S, READ_S = 10, 60
PIECE = 1024 * 1024
MOST_OBJECTS = 200_000  # of one mount; their list is in memory
REGION = "us-east-1"


@cache
def _session() -> Any:
    """It reads the service's description once."""
    return botocore.session.get_session()


class Object(NamedTuple):
    key: str
    path: str  # below the folder of the mount
    size: int
    etag: str


class Bucket:
    """`given`: one of the document's buckets. Raises Failed and Delayed."""

    def __init__(self, given: dict[str, Any], connections: int) -> None:
        self._bucket = given["bucket"]
        self._prefix = f"{given['prefix']}/" if given["prefix"] else ""
        self.name = f"s3://{self._bucket}/{self._prefix}"
        self._judged: bool = given["judged"]
        is_public = not given["access_key_id"]
        host = urlsplit(given["endpoint"]).hostname or ""
        style = "virtual" if host.endswith(".amazonaws.com") else "path"
        self._client: Any = _session().create_client(
            "s3",
            region_name=given["region"] or REGION,
            endpoint_url=given["endpoint"],
            aws_access_key_id=given["access_key_id"] or "none",  # else they are looked for
            aws_secret_access_key=given["secret_access_key"] or "none",
            config=Config(
                signature_version=UNSIGNED if is_public else None,
                connect_timeout=CONNECT_S,
                read_timeout=READ_S,
                retries={"total_max_attempts": 1},  # fetching.py tries again
                max_pool_connections=connections,
                s3={"addressing_style": style},
                # A proxy looks names up by itself, where nothing judges what they lead to.
                proxies={} if self._judged else None,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def objects(self) -> list[Object]:
        """Those below the prefix that a file can hold; an object whose key ends with a slash is a
        folder's mark."""
        try:
            with guard.asking(judged=self._judged):
                return list(self._listed())
        except Exception as error:
            raise fault_of(error, self.name) from error

    def save(self, each: Object, file: Path, begun: bool, wrote: Callable[[int], None]) -> None:
        """Write the object into the file; what has `begun` and is of the same object goes on."""
        what = f"s3://{self._bucket}/{each.key}"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with (
                guard.asking(judged=self._judged),
                file.open("ab" if begun else "wb") as written,
            ):
                there = written.tell()
                if there >= each.size > 0:
                    return
                asked = {"Bucket": self._bucket, "Key": each.key}
                if each.etag:
                    asked["IfMatch"] = each.etag
                if there:
                    asked["Range"] = f"bytes={there}-"
                answer = self._client.get_object(**asked)
                if there and "ContentRange" not in answer:  # a server that knows no ranges
                    there = written.truncate(0)
                left = each.size - there
                for piece in iter(lambda: answer["Body"].read(PIECE), b""):
                    left -= len(piece)
                    if left < 0:
                        raise Delayed(f"{what}: it is longer than it was listed.")
                    written.write(piece)
                    wrote(len(piece))
                if left:
                    raise Delayed(f"{what}: it ended before its end.")
        except Exception as error:
            raise fault_of(error, what) from error

    def _listed(self) -> Iterator[Object]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix
        )
        found = 0
        for page in pages:
            for each in page.get("Contents", ()):
                key = each["Key"]
                if key.endswith("/"):
                    continue
                found += 1
                if found > MOST_OBJECTS:
                    raise Failed(f"{self.name}: it has more than {MOST_OBJECTS} objects.")
                path = key.removeprefix(self._prefix)
                if "\0" in path or any(part in {"", ".", ".."} for part in path.split("/")):
                    raise Failed(f"s3://{self._bucket}/{key[:200]!r}: no file can have its name.")
                yield Object(key, path, int(each["Size"]), each.get("ETag", ""))
