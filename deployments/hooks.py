"""What deployments ask of the scheduler: each hook is a function that the scheduler sets in its
`AppConfig.ready`. News go by signal (signals.py), questions go through here.

Call a hook as `hooks.name(...)`, so that the call finds the function that is set.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from django.db.models import QuerySet

from accounts.models import User
from deployments.models import Deployment, WaitReason
from deployments.queries.dependencies import Dependency
from mlops_platform.api.errors import Conflict


class DeriveWaitReasons(Protocol):
    """Reason code and details, by id, of ready queued deployments for which no cycle has stored a
    reason. A deployment that no cycle has looked at is left out."""

    def __call__(
        self, deployments: Sequence[Deployment]
    ) -> Mapping[UUID, tuple[str, dict[str, Any]]]: ...


class FindSpared(Protocol):
    """Why nothing is preempted for waiting deployments whose classes may preempt: by id, the causes
    with their counts (preemption.py). The argument is each with the details of its
    reason."""

    def __call__(
        self, waiting: Sequence[tuple[Deployment, Mapping[str, Any]]]
    ) -> Mapping[UUID, list[dict[str, Any]]]: ...


class LikelyNodes(Protocol):
    """The first `most` deployments that wait in a cluster, and the nodes on which each of them will
    likely start."""

    def __call__(self, cluster_id: UUID, most: int) -> Sequence[tuple[UUID, Sequence[UUID]]]: ...


class WhyNever(Protocol):
    """By id, code and details of the reason why not even their empty cluster could run these
    deployments: of those that it could not."""

    def __call__(
        self, deployments: Sequence[Deployment]
    ) -> Mapping[UUID, tuple[str, dict[str, Any]]]: ...


class FindEtas(Protocol):
    """When waiting deployments will start, by id, as EtaSerializer shows it (api/eta.py): of those
    for which a forecast is kept."""

    def __call__(self, deployments: Sequence[Deployment]) -> Mapping[UUID, dict[str, Any]]: ...


class Evictions(NamedTuple):
    """What a change would evict: by the id of each deployment that changes, the victims with what
    they are called. `unknown`: why some are missing there."""

    by: Mapping[UUID, Sequence[Mapping[str, Any]]]
    unknown: str | None


class WouldEvict(Protocol):
    """What would be evicted at once for each of these deployments, if all had that priority."""

    def __call__(self, rows: Sequence[Deployment], priority: str) -> Evictions: ...


class Foreseen(NamedTuple):
    """What would become of the members of a sweep at once. `evicts`: the victims with what they are
    called. `reason`: of the first member that waits, as rendered; None where all start. `unknown`:
    why nothing is known."""

    starts_now: int | None = None
    waits: int | None = None
    evicts: Sequence[Mapping[str, Any]] = ()
    reason: Mapping[str, Any] | None = None
    unknown: str | None = None


class ForeseeSweep(Protocol):
    """What would become of unsaved members of one sweep, if they were queued now. All depend on
    `needed`."""

    def __call__(self, members: Sequence[Deployment], needed: Sequence[Dependency]) -> Foreseen: ...


class RedeemQuote(Protocol):
    """Carries out the quote `token` for a deployment just inserted, in the caller's transaction.
    `digest` is that of the submit's body. Raises a Conflict where the quote no longer holds."""

    def __call__(self, deployment: Deployment, digest: str, token: str) -> None: ...


class QuoteSubmit(Protocol):
    """The values of a quote for an unsaved deployment: `outcome`, `preempts` with names, `token`
    and more. `digest` is that of the submit's body."""

    def __call__(
        self, user: User, deployment: Deployment, digest: str, needed: Sequence[Dependency]
    ) -> Mapping[str, Any]: ...


class LateRows(Protocol):
    """Rows where the scheduler may not have answered lately, with these columns of WaitReason,
    and an empty code."""

    def __call__(self, columns: Sequence[str]) -> QuerySet[Any, Any]: ...


class SilentSince(Protocol):
    """Since when the scheduler has not answered; None while it does."""

    def __call__(self) -> datetime | None: ...


def _no_reasons(deployments: Sequence[Deployment]) -> Mapping[UUID, tuple[str, dict[str, Any]]]:
    return {}


def _none_spared(
    waiting: Sequence[tuple[Deployment, Mapping[str, Any]]],
) -> Mapping[UUID, list[dict[str, Any]]]:
    return {}


def _none_likely(cluster_id: UUID, most: int) -> Sequence[tuple[UUID, Sequence[UUID]]]:
    return ()


def _no_etas(deployments: Sequence[Deployment]) -> Mapping[UUID, dict[str, Any]]:
    return {}


def _nothing_foreseen(members: Sequence[Deployment], needed: Sequence[Dependency]) -> Foreseen:
    return Foreseen(unknown="No scheduler is installed that could say so.")


def _unknown(rows: Sequence[Deployment], priority: str) -> Evictions:
    return Evictions({}, "No scheduler is installed that could say so.")


def _refuse_quote(deployment: Deployment, digest: str, token: str) -> None:
    raise Conflict("No scheduler is installed that could keep a quote.", code="quote_stale")


def _quote_nothing(
    user: User, deployment: Deployment, digest: str, needed: Sequence[Dependency]
) -> Mapping[str, Any]:
    return {"outcome": "UNKNOWN", "preempts": [], "token": ""}


def _never_late(columns: Sequence[str]) -> QuerySet[Any, Any]:
    return WaitReason.objects.none().values_list(*columns)


def _never_silent() -> datetime | None:
    return None


derive_wait_reasons: DeriveWaitReasons = _no_reasons
find_etas: FindEtas = _no_etas
foresee_sweep: ForeseeSweep = _nothing_foreseen
find_spared: FindSpared = _none_spared
likely_nodes: LikelyNodes = _none_likely
quote_submit: QuoteSubmit = _quote_nothing
redeem_quote: RedeemQuote = _refuse_quote
scheduler_late_rows: LateRows = _never_late
scheduler_silent_since: SilentSince = _never_silent
why_never: WhyNever = _no_reasons
would_evict: WouldEvict = _unknown
