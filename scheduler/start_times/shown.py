"""A forecast for people: moments, what they rest on, and a sentence."""

from datetime import datetime
from typing import Any

from mlops_platform.api.ids import moment
from scheduler.forecast import Basis, Eta

NOT_SHOWN = {Basis.UNKNOWN, Basis.IMPOSSIBLE, Basis.PAUSED}  # as a basis: there is none
RESTS_ON = {
    Basis.LIMITS: "what is known of the run times ahead",
    Basis.HISTORY: "run times in this cluster's history",
}
WHY_NOT = {
    Basis.TOO_LARGE: "Too much runs or waits ahead of it for a forecast.",
    Basis.UNKNOWN: "What it waits for has no time limit, and too little like it has ended here.",
    Basis.IMPOSSIBLE: "Not even the empty cluster could run it.",
    Basis.PAUSED: "The cluster starts nothing now.",
}


def shown(eta: Eta, made_ms: int) -> dict[str, Any]:
    """The values of EtaSerializer."""
    p50, p90 = _moment(eta.p50_ms), _moment(eta.p90_ms)
    return {
        "p50": p50,
        "p90": p90,
        "basis": None if eta.basis in NOT_SHOWN else str(eta.basis),
        "message": WHY_NOT.get(eta.basis) or _sentence(eta.basis, p50, p90),
        "made_at": moment(made_ms),
    }


def _sentence(basis: Basis, p50: datetime | None, p90: datetime | None) -> str:
    if p50 == p90:
        when = f"Starts at about {p50:%F %T} UTC"
    elif p90 is None:
        when = f"As likely as not by {p50:%F %T} UTC"
    else:
        when = f"As likely as not by {p50:%F %T} UTC, nine times in ten by {p90:%F %T} UTC"
    return f"{when}; rests on {RESTS_ON[basis]}."


def _moment(at_ms: int | None) -> datetime | None:
    return None if at_ms is None else moment(at_ms)
