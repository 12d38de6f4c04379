"""Answers the log of a replica: as it was kept, or by a reading of a worker of the runtimes' queue.

`web` calls no endpoint itself: see docs/adr/0038-web-asks-workers-for-output.md.
"""

from collections.abc import Iterator, Mapping

from rest_framework.exceptions import Throttled

from accounts.api.requests import Bearer
from clusters.models import Node
from deployments.log_selection import LogQuery
from deployments.models import Deployment
from deployments.output.kept import source_of
from deployments.output.missing import Missing, nothing_read
from deployments.output.reading import Reading
from deployments.queries.deployments import deployment_for
from mlops_platform.api.answers.streams import Stream
from mlops_platform.api.errors import Invalid
from mlops_platform.api.throttling.slots import Slots

FOLLOW_S = 900.0
READ_S = 35.0  # the worker cuts the log after 30 s, and says so

# In each process of the web server. Each reader, and each follower of what runs, occupies a thread.
FOLLOWERS = Slots(all=64, organization=16, endpoint=8, user=4)
READERS = Slots(all=16, organization=8, endpoint=4, user=4)


def check(deployment: Deployment, query: LogQuery) -> None:
    """Raises 400 for a replica or an attempt that cannot exist."""
    errors = {}
    if query.replica >= deployment.replicas:
        errors["replica"] = f"Below {deployment.replicas}: they are counted from 0."
    if query.attempt is not None and query.attempt > deployment.attempt:
        errors["attempt"] = f"It has had {deployment.attempt} so far."
    if errors:
        raise Invalid(errors)


class LogStream(Stream):
    """The log of a replica that is at its endpoint, or, followed, will be.

    Before the first piece it raises 429 where all slots are taken, and 503 where the endpoint does
    not answer, or no worker that could ask it. An endpoint that goes away later ends the stream.
    """

    def __init__(
        self, row: Deployment, query: LogQuery, source: Node | None, bearer: Bearer
    ) -> None:
        """`source` is None for a deployment that waits."""
        self._row, self._query, self._source, self._bearer = row, query, source, bearer
        self._missing: Missing | None = None
        self.longest_s = min(FOLLOW_S if query.follow else READ_S, bearer.expires_in_s)
        self._slots = FOLLOWERS if query.follow else READERS
        self._keys = {
            "user": str(bearer.user_id),
            "organization": str(row.cluster.organization_id),
        }
        if source is not None:
            self._keys["endpoint"] = str(source.endpoint_id)

    def enter(self) -> None:
        if not self._slots.acquire(self._keys):
            verb = "follow" if self._query.follow else "read"
            raise Throttled(wait=10, detail=f"You, or others, {verb} too many logs just now.")

    def leave(self) -> None:
        self._slots.release(self._keys)

    def open(self) -> Iterator[bytes] | None:
        row, query = self._row, self._query
        if query.waits_for(row):
            # Raises where the endpoint is away, before the response begins.
            opened = self._open(LogQuery(query.attempt, query.replica, tail=0))
            if isinstance(opened, Reading):
                opened.close()
            return None
        opened = self._open(query)
        if isinstance(opened, Reading) and not query.follow and opened.is_empty():
            self._missing = self._why_empty()
        return opened

    def headers(self) -> Mapping[str, str]:
        return self._missing.headers if self._missing else {}

    def is_ready(self) -> bool:
        """One query."""
        fresh = self._fresh()
        if fresh is not None:
            self._row = fresh
        return fresh is None or not self._query.waits_for(fresh)

    def is_allowed(self) -> bool:
        """Two queries."""
        deployment_for(self._bearer.authenticate(), self._row.pk)
        return True

    def _why_empty(self) -> Missing | None:
        """None where output was kept meanwhile. Up to three queries."""
        query, row = self._query, self._fresh() or self._row
        source = source_of(row, query)
        if isinstance(source, Node):
            return nothing_read(row, whole=query.tail != 0 and not query.picks_lines)
        return source if isinstance(source, Missing) else None

    def _fresh(self) -> Deployment | None:
        """The row as it is now. One query."""
        return Deployment.objects.select_related("cluster").filter(pk=self._row.pk).first()

    def _open(self, query: LogQuery) -> Iterator[bytes]:
        """Up to two queries, none where the view has found the log at an endpoint."""
        source = self._source or source_of(self._row, query)
        if isinstance(source, Missing):
            return iter([source.line])
        if isinstance(source, bytes):
            return iter([source])
        return Reading(str(self._row.pk), query)
