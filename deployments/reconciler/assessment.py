"""Assesses an attempt by what its endpoints show of its replicas. Pure: no clock, no database.

Only what an endpoint shows counts. An endpoint that does not answer shows nothing, so the attempt
stays as it is until its node has been NOT_READY for so long that it counts as lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any
from uuid import UUID

from deployments.models import Deployment, Kind, Status
from deployments.reasons import codes
from deployments.reconciler import readiness
from deployments.reconciler.observation import Replica
from deployments.runtimes.base import Code, Phase, Problem, ReplicaStatus

# To start a deployment whose endpoint answers with errors, whose env no key opens, or whose image
# cannot be pulled.
TRY_FOR = timedelta(minutes=10)
GATHER_WITHIN_S = 1800  # from the first replica of a gang to the last, images included
MOST_MISSING = 20  # in details
TERMINATED = 143  # by SIGTERM, or by a program that ends itself so
CUT_OFF = (137, 143, 255)  # SIGKILL, SIGTERM, unknown: exit codes of a machine that goes down
AT_ONCE = timedelta(seconds=30)  # after its start; what its machine ends so soon never ran well
UNSTARTED = (Code.REFUSED, Code.COMMAND_FAILED)
BLAMELESS = (Code.DISRUPTED, Code.UNSCHEDULABLE, Code.FETCH_DELAYED)
FATAL = (
    *(Code.IMAGE_PULL_FAILED, Code.FETCH_FAILED),
    *(Code.COMMAND_FAILED, Code.REFUSED, Code.OUT_OF_DISK),
)


class Outcome(Enum):
    UNCHANGED = auto()
    START = auto()  # some of its replicas do not exist yet, or have been created and not started
    NOTE = auto()  # it does not run yet, for a reason that is worth an entry
    CONFIRM = auto()  # it runs
    PAUSE = auto()  # it ran, and does not run at present
    COMPLETE = auto()  # all replicas have ended well
    FAIL = auto()  # the attempt has failed
    REQUEUE = auto()  # the attempt has ended through no fault of its own
    STOP = auto()  # its replicas have to be stopped, or killed
    GONE = auto()  # all replicas of a STOPPING deployment have ended


@dataclass(frozen=True)
class Assessment:
    """The outcome and its reason. `alive`: other replicas run on and have to be stopped first."""

    outcome: Outcome
    code: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    started_at: datetime | None = None  # by the machine's clock
    ended_at: datetime | None = None  # by the same clock
    alive: bool = False
    final: bool = False  # of FAIL: it is not tried again, whatever retries are left
    image_digest: str = ""
    node_id: UUID | None = None  # of FAIL and REQUEUE: where the fault was
    against: bool = False  # the start speaks against that node


UNCHANGED = Assessment(Outcome.UNCHANGED)


def assess(row: Deployment, replicas: Sequence[Replica], now: datetime) -> Assessment:
    """Assess a row that is STARTING, RUNNING or STOPPING by all of its replicas."""
    if row.status == Status.STOPPING:
        return _stopping(replicas)
    for check in (_lost, _failed, _completed):
        assessment = check(row, replicas)
        if assessment is not None:
            return assessment
    if row.status == Status.RUNNING:
        return _running(row, replicas, now)
    return _starting(row, replicas, now)


def _stopping(replicas: Sequence[Replica]) -> Assessment:
    if any(_may_be_alive(each) for each in replicas):
        return Assessment(Outcome.STOP)
    return Assessment(
        Outcome.GONE,
        exit_code=_exit_code(replicas),
        started_at=_started_at(replicas),
        ended_at=_last_end(replicas),
    )


def _lost(row: Deployment, replicas: Sequence[Replica]) -> Assessment | None:
    """A node is lost, or a replica that ran is not at its endpoint any more."""
    alive = any(_may_be_alive(each) for each in replicas)
    for each in replicas:
        if each.node_lost and not _has_ended(each):
            details: dict[str, Any] = {"node": _node_name(each)}
            node_id = _node_id(each)
            return Assessment(
                Outcome.REQUEUE, codes.NODE_LOST, details, alive=alive, node_id=node_id
            )
    if row.status == Status.RUNNING:
        for each in replicas:
            if each.answered and each.status is None:
                details = {"node": _node_name(each), "replica": each.number}
                node_id = _node_id(each)
                return Assessment(
                    Outcome.REQUEUE, codes.CONTAINER_LOST, details, alive=alive, node_id=node_id
                )
    return None


def _failed(row: Deployment, replicas: Sequence[Replica]) -> Assessment | None:
    """Of several failed replicas, the first by time gives the reason: others may follow from it."""
    failures = [
        (each, each.status) for each in replicas if each.status and _is_failure(each.status)
    ]
    if not failures:
        return None
    first, status = min(failures, key=lambda each: (_ended_at(each[1]), each[0].number))
    alive = any(_may_be_alive(each) for each in replicas if each is not first)
    alive = alive or status.phase != Phase.ENDED
    code = status.problem.code if status.problem else Code.EXITED
    if _was_cut_off(first, status, code):
        code = Code.DISRUPTED
    details: dict[str, Any] = {}
    if status.problem and status.problem.message:
        details["said"] = status.problem.message
    if status.exit_code is not None:
        details["exit_code"] = status.exit_code
    if code == Code.OUT_OF_MEMORY:
        details["ram_mib"] = row.ram_mib
    if code == Code.OUT_OF_DISK and "ephemeral_mib" in row.container:
        details["ephemeral_mib"] = row.container["ephemeral_mib"]
    if row.replicas > 1:
        details["replica"] = first.number
    outcome = Outcome.REQUEUE if code in BLAMELESS else Outcome.FAIL
    return Assessment(
        outcome,
        str(code),
        details,
        status.exit_code,
        _started_at(replicas) if status.started_at else None,
        _last_end(replicas) or status.ended_at,
        alive,
        image_digest=_image_digest(replicas) if status.started_at else "",
        node_id=_node_id(first),
        against=_speaks_against(first, status, code),
    )


def _completed(row: Deployment, replicas: Sequence[Replica]) -> Assessment | None:
    """All replicas have ended, and none has failed. A service fails even so: it runs for ever."""
    if not replicas or not all(_has_ended(each) for each in replicas):
        return None
    started_at, ended_at = _started_at(replicas), _last_end(replicas)
    if row.kind == Kind.SERVICE:
        outcome, code, details = Outcome.FAIL, str(Code.EXITED), {"exit_code": 0}
    else:
        outcome, code, details = Outcome.COMPLETE, "", {}
    digest = _image_digest(replicas)
    return Assessment(outcome, code, details, 0, started_at, ended_at, image_digest=digest)


def _running(row: Deployment, replicas: Sequence[Replica], now: datetime) -> Assessment:
    if (paused := readiness.paused(replicas)) is not None:
        return Assessment(Outcome.PAUSE, paused.code, paused.details)
    if any(not each.answered for each in replicas):
        return UNCHANGED
    if (unready := readiness.unready(row, replicas, now)) is not None:
        if unready.ends_at is not None and unready.ends_at <= now:
            final, details = readiness.ends_for_good(row), unready.details
            return Assessment(Outcome.FAIL, codes.NOT_ALIVE, details, alive=True, final=final)
        details = readiness.steady(row, unready.code, unready.details)
        return Assessment(Outcome.NOTE, unready.code, details)
    since = readiness.unready_since(row)
    if since is not None and now - since >= readiness.STEADY:
        return Assessment(Outcome.NOTE)
    return UNCHANGED


def _starting(row: Deployment, replicas: Sequence[Replica], now: datetime) -> Assessment:
    if row.due_at is not None and row.due_at <= now:  # it ran before it was paused
        limit, code = {"max_runtime_s": row.max_runtime_s}, codes.MAX_RUNTIME_EXCEEDED
        return Assessment(Outcome.FAIL, code, limit, alive=True, final=True)
    unanswered = [each for each in replicas if not each.answered]
    if unanswered:
        details: dict[str, Any] = {"node": _node_name(unanswered[0])}
        return Assessment(Outcome.NOTE, codes.NODE_AWAY, details)
    statuses = [each.status for each in replicas if each.status]
    if len(statuses) < len(replicas) or not all(each.begun for each in statuses):
        incomplete = _incomplete(replicas, now)
        if incomplete is not None:
            return incomplete
        if len(statuses) < len(replicas) or not any(map(_is_on_its_way, statuses)):
            return Assessment(Outcome.START)
    paused = readiness.paused(replicas)
    # What ran before it was paused runs again, also where its probe does not pass at present.
    ran = (Phase.ENDED, Phase.RUNNING) if row.started_at and paused is None else (Phase.ENDED,)
    if all(each.phase in ran or each.ready for each in statuses):
        return Assessment(
            Outcome.CONFIRM, started_at=_started_at(replicas), image_digest=_image_digest(replicas)
        )
    if paused is not None:
        return Assessment(Outcome.NOTE, paused.code, paused.details)
    problems = [each.problem for each in statuses if each.problem]
    if now - (row.admitted_at or now) > readiness.SCHEDULE_WITHIN:
        for each in replicas:
            problem = each.status.problem if each.status else None
            if problem is not None and problem.code == Code.UNSCHEDULABLE:
                return Assessment(
                    Outcome.REQUEUE,
                    Code.UNSCHEDULABLE,
                    {"said": problem.message},
                    alive=True,
                    node_id=_node_id(each),
                    against=True,
                )
    ready_by = readiness.ready_by(row, replicas)
    if ready_by is not None and now > ready_by:
        details = {"within_s": readiness.within_s(row), **readiness.answer(replicas)}
        return Assessment(Outcome.FAIL, codes.NOT_READY_IN_TIME, details, alive=True)
    if not problems:
        return UNCHANGED
    for problem in problems:
        if problem.code == Code.IMAGE_PULL_DELAYED:
            return _image_delayed(row, problem, now)
    first = problems[0]
    details = {"said": first.message} if first.message else {}
    return Assessment(
        Outcome.NOTE, str(first.code), readiness.steady(row, str(first.code), details)
    )


def _image_delayed(row: Deployment, problem: Problem, now: datetime) -> Assessment:
    """The runtime pulls again by itself, and does not say since when."""
    code, since, said = Code.IMAGE_PULL_DELAYED, now, problem.message
    if row.reason_code == code and "since" in row.reason_details:
        since = datetime.fromisoformat(row.reason_details["since"])
        said = said or row.reason_details["said"]
    details = {"said": said, "since": since.isoformat()}
    if now - since > TRY_FOR:
        return Assessment(Outcome.REQUEUE, code, details, alive=True)
    return Assessment(Outcome.NOTE, code, details)


def _incomplete(replicas: Sequence[Replica], now: datetime) -> Assessment | None:
    """Some replicas have waited too long for the others, which are not there yet."""
    waiting = [each.status for each in replicas if each.status and not each.status.begun]
    created = [each.created_at for each in waiting if each.created_at]
    if not created or now - min(created) <= timedelta(seconds=GATHER_WITHIN_S):
        return None
    missing = [
        each.number for each in replicas if each.status is None or _is_on_its_way(each.status)
    ]
    if not missing:
        return None
    details: dict[str, Any] = {
        "missing": missing[:MOST_MISSING],
        "count": len(missing),
        "within_s": GATHER_WITHIN_S,
    }
    return Assessment(Outcome.REQUEUE, codes.GANG_INCOMPLETE, details, alive=True)


def _is_on_its_way(status: ReplicaStatus) -> bool:
    """Its runtime makes it, and pulls its image: `start` could not hasten it."""
    return status.begun and status.phase == Phase.PENDING


def _speaks_against(replica: Replica, status: ReplicaStatus, code: str) -> bool:
    """Whether the replica's node may be why it has not started, or has ended at once. A stop that
    people or a restart of the engine have sent says nothing."""
    if code == Code.UNSCHEDULABLE or (code in UNSTARTED and status.started_at is None):
        return True
    if code != Code.DISRUPTED or status.stopping or replica.node_returned:
        return False
    if status.started_at is None:
        return True
    return status.ended_at is not None and status.ended_at - status.started_at < AT_ONCE


def _was_cut_off(replica: Replica, status: ReplicaStatus, code: str) -> bool:
    """The machine went down meanwhile, or a stop is under way that the platform has not sent.

    No exit code says that by itself: a program may end itself with 143, as often as it is started.
    """
    if code != Code.EXITED:
        return False
    return status.stopping or (replica.node_returned and status.exit_code in CUT_OFF)


def _is_failure(status: ReplicaStatus) -> bool:
    """Also true of a replica that ended with 0 after a stop that the platform has not sent: its
    work may not be done."""
    code = status.problem.code if status.problem else None
    if status.phase == Phase.ENDED:
        return (
            status.stopping
            or status.exit_code != 0
            or code in (*BLAMELESS, *FATAL, Code.OUT_OF_MEMORY)
        )
    return code in FATAL or code == Code.DISRUPTED


def _has_ended(replica: Replica) -> bool:
    return replica.status is not None and replica.status.phase == Phase.ENDED


def _may_be_alive(replica: Replica) -> bool:
    """True also where the endpoint has not answered and the node does not count as lost yet."""
    if replica.node_lost:
        return False
    if not replica.answered:
        return True
    return replica.status is not None and replica.status.phase != Phase.ENDED


def _node_id(replica: Replica) -> UUID | None:
    return replica.node.pk if replica.node else None


def _node_name(replica: Replica) -> str | None:
    return replica.node.name if replica.node else None


def _exit_code(replicas: Sequence[Replica]) -> int | None:
    """The first exit code that is not 0, else 0; None where no replica has one."""
    exit_codes = [each.status.exit_code for each in replicas if each.status]
    known = [code for code in exit_codes if code is not None]
    return next((code for code in known if code), 0) if known else None


def _started_at(replicas: Sequence[Replica]) -> datetime | None:
    """When the last replica started: only from then on the deployment ran as a whole."""
    times = [each.status.started_at for each in replicas if each.status]
    return max((at for at in times if at is not None), default=None)


def _image_digest(replicas: Sequence[Replica]) -> str:
    """Of the first replica that shows one. Others have another where a tag has moved meanwhile."""
    digests = (each.status.image_digest for each in replicas if each.status)
    return next((digest for digest in digests if digest), "")


def _last_end(replicas: Sequence[Replica]) -> datetime | None:
    """When the last replica ended; None where any end is not known."""
    times = [each.status.ended_at if each.status else None for each in replicas]
    known = [at for at in times if at is not None]
    return max(known) if known and len(known) == len(times) else None


def _ended_at(status: ReplicaStatus) -> float:
    return status.ended_at.timestamp() if status.ended_at else float("inf")
