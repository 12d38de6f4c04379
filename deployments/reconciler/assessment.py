"""What is to become of an attempt, by what is seen of its replicas. Pure: no clock, no database.

Told are facts alone. An endpoint that does not answer says nothing, so nothing becomes of what runs
there, until its node has been away for so long that it counts as lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

from deployments import reasons
from deployments.models import Deployment, Kind, Status
from deployments.reconciler.observation import Replica
from deployments.runtimes.base import Code, Phase, ReplicaStatus

START_WITHIN_S = 600  # for one with a readiness probe that does not say otherwise
PLACE_WITHIN = timedelta(seconds=60)  # so long a Pod may wait for the node it was promised
TERMINATED = 143  # SIGTERM, which we have not sent: somebody stops containers, or their engine
CUT_OFF = (137, 143, 255)  # SIGKILL, SIGTERM, and what is not known: a machine that goes down
BLAMELESS = (Code.DISRUPTED, Code.UNSCHEDULABLE)
FATAL = (Code.IMAGE_PULL_FAILED, Code.COMMAND_FAILED, Code.REFUSED)


class Outcome(Enum):
    NOTHING = auto()
    LAUNCH = auto()  # replicas of it are not there yet, or have not been told to begin
    NOTE = auto()  # it does not run yet, and there is something to tell
    CONFIRM = auto()  # it runs
    COMPLETE = auto()  # it has ended well
    FAIL = auto()  # the attempt has failed
    REQUEUE = auto()  # it has ended through no fault of its own
    STOP = auto()  # it is to be told to end, or to be killed
    GONE = auto()  # what was to stop is no more


@dataclass(frozen=True)
class Assessment:
    """`alive`: other replicas go on, and have to be stopped first."""

    turn: Outcome
    code: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    started_at: datetime | None = None
    alive: bool = False


NOTHING = Assessment(Outcome.NOTHING)


def assess(row: Deployment, replicas: Sequence[Replica], now: datetime) -> Assessment:
    """A row that is STARTING, RUNNING or STOPPING, and all of its replicas."""
    if row.status == Status.STOPPING:
        return _leaving(replicas)
    for look in (_lost, _failed, _over):
        verdict = look(row, replicas)
        if verdict is not None:
            return verdict
    if row.status == Status.RUNNING:
        return NOTHING
    return _starting(row, replicas, now)


def _leaving(replicas: Sequence[Replica]) -> Assessment:
    if any(_may_live(each) for each in replicas):
        return Assessment(Outcome.STOP)
    return Assessment(Outcome.GONE, exit_code=_exit_code(replicas))


def _lost(row: Deployment, replicas: Sequence[Replica]) -> Assessment | None:
    """A node is away for too long, or a replica that ran is not there any more."""
    alive = any(_may_live(each) for each in replicas)
    for each in replicas:
        if each.lost and not _ended(each):
            name = each.node.name if each.node else None
            return Assessment(Outcome.REQUEUE, reasons.NODE_LOST, {"node": name}, alive=alive)
    if row.status == Status.RUNNING:
        for each in replicas:
            if each.answered and each.sighting is None:
                name = each.node.name if each.node else None
                details = {"node": name, "replica": each.number}
                return Assessment(Outcome.REQUEUE, reasons.CONTAINER_LOST, details, alive=alive)
    return None


def _failed(row: Deployment, replicas: Sequence[Replica]) -> Assessment | None:
    """Of several that failed the first by time is to blame: the others may have followed it."""
    bad = [each for each in replicas if each.sighting and _is_failure(each.sighting)]
    if not bad:
        return None
    first = min(bad, key=lambda each: (_when(each.sighting), each.number))
    sighting = first.sighting
    assert sighting is not None
    alive = any(_may_live(each) for each in replicas if each is not first)
    alive = alive or sighting.phase != Phase.ENDED
    code = sighting.trouble.code if sighting.trouble else Code.EXITED
    if _was_cut_off(first, sighting, code):
        code = Code.DISRUPTED
    details: dict[str, Any] = {}
    if sighting.trouble and sighting.trouble.message:
        details["said"] = sighting.trouble.message
    if sighting.exit_code is not None:
        details["exit_code"] = sighting.exit_code
    if code == Code.OUT_OF_MEMORY:
        details["ram_mib"] = row.ram_mib
    if row.replicas > 1:
        details["replica"] = first.number
    turn = Outcome.REQUEUE if code in BLAMELESS else Outcome.FAIL
    return Assessment(turn, str(code), details, sighting.exit_code, sighting.started_at, alive)


def _over(row: Deployment, replicas: Sequence[Replica]) -> Assessment | None:
    """All have ended, and none of them badly."""
    if not replicas or not all(_ended(each) for each in replicas):
        return None
    started_at = _started(replicas)
    if row.kind == Kind.SERVICE:  # it was to run for ever
        return Assessment(Outcome.FAIL, Code.EXITED, {"exit_code": 0}, 0, started_at)
    return Assessment(Outcome.COMPLETE, exit_code=0, started_at=started_at)


def _starting(row: Deployment, replicas: Sequence[Replica], now: datetime) -> Assessment:
    silent = [each for each in replicas if not each.answered]
    if silent:
        name = silent[0].node.name if silent[0].node else None
        return Assessment(Outcome.NOTE, reasons.NODE_AWAY, {"node": name})
    if not all(each.sighting and each.sighting.begun for each in replicas):
        return Assessment(Outcome.LAUNCH)
    if all(_ended(each) or (each.sighting and each.sighting.ready) for each in replicas):
        return Assessment(Outcome.CONFIRM, started_at=_started(replicas))
    since = row.admitted_at or now
    troubles = [each.sighting.trouble for each in replicas if each.sighting]
    for trouble in troubles:
        if trouble and trouble.code == Code.UNSCHEDULABLE and now - since > PLACE_WITHIN:
            said = {"said": trouble.message}
            return Assessment(Outcome.REQUEUE, Code.UNSCHEDULABLE, said, alive=True)
    if row.readiness is not None:
        within_s = row.readiness.get("within_s") or START_WITHIN_S
        began = _started(replicas)
        if began and now - began > timedelta(seconds=within_s):
            details = {"within_s": within_s}
            return Assessment(Outcome.FAIL, reasons.NOT_READY_IN_TIME, details, alive=True)
    told = next((trouble for trouble in troubles if trouble), None)
    if told is None:
        return NOTHING
    return Assessment(Outcome.NOTE, str(told.code), {"said": told.message} if told.message else {})


def _was_cut_off(replica: Replica, sighting: ReplicaStatus, code: str) -> bool:
    """By a machine that went down meanwhile, or by somebody else who told it to end."""
    if code != Code.EXITED:
        return False
    told_to_end = sighting.stopping or sighting.exit_code == TERMINATED
    return told_to_end or (replica.back and sighting.exit_code in CUT_OFF)


def _is_failure(sighting: ReplicaStatus) -> bool:
    """Also whoever ended well after somebody else, for we did not, told it to end: its work may not
    be done."""
    code = sighting.trouble.code if sighting.trouble else None
    if sighting.phase == Phase.ENDED:
        return (
            sighting.stopping
            or sighting.exit_code != 0
            or code in (*BLAMELESS, *FATAL, Code.OUT_OF_MEMORY)
        )
    return code in FATAL or code == Code.DISRUPTED


def _ended(replica: Replica) -> bool:
    """Of itself, or at our word."""
    return replica.sighting is not None and replica.sighting.phase == Phase.ENDED


def _lives(replica: Replica) -> bool:
    """It is seen, and goes on."""
    return replica.sighting is not None and replica.sighting.phase != Phase.ENDED


def _may_live(replica: Replica) -> bool:
    """It is seen, or nobody could look and it is too early to give it up."""
    if replica.lost:
        return False
    return _lives(replica) if replica.answered else True


def _exit_code(replicas: Sequence[Replica]) -> int | None:
    """The first that is not 0, else 0; None where no replica has one."""
    codes = [each.sighting.exit_code for each in replicas if each.sighting]
    known = [code for code in codes if code is not None]
    return next((code for code in known if code), 0) if known else None


def _started(replicas: Sequence[Replica]) -> datetime | None:
    """When the last of them began: only then it ran as a whole."""
    times = [each.sighting.started_at for each in replicas if each.sighting]
    known = [at for at in times if at is not None]
    return max(known) if known else None


def _when(sighting: ReplicaStatus | None) -> float:
    at = sighting.ended_at if sighting else None
    return at.timestamp() if at else float("inf")
