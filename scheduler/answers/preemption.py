"""Shows why nothing is evicted for a waiting deployment, and from when that changes."""

from collections.abc import Iterable, Sequence
from typing import Any

from deployments.reasons.preemption import SPARED, moment_in_words, sentence_of
from deployments.reasons.reader import LACKING
from mlops_platform.api.ids import moment
from scheduler.engine.reasons import Reason
from scheduler.engine.whatif import EarliestStart, Spared
from scheduler.store.spared import COUNTED


def preemption_shown(
    earliest: EarliestStart | None, spared: Sequence[Spared], *, complete: bool
) -> dict[str, Any]:
    """The values of PreemptionSerializer. `complete`: whether the search for `earliest` is."""
    by_evicting = earliest is not None and bool(earliest.evictions)
    return {
        "starts_at": moment(earliest.at_ms) if earliest and by_evicting else None,
        "message": _outlook(earliest, spared, complete=complete),
        "spared": [
            {
                "cause": each.cause.value,
                "message": sentence_of(_cause(each)),
                "count": each.count,
                "until": moment(each.until_ms) if each.until_ms is not None else None,
                "deployments": [
                    {
                        "deployment_id": running.id,
                        "priority": running.priority,
                        "until": moment(until_ms) if until_ms is not None else None,
                    }
                    for running, until_ms in each.examples
                ],
            }
            for each in spared
        ],
    }


def _outlook(
    earliest: EarliestStart | None, spared: Sequence[Spared], *, complete: bool
) -> str | None:
    """One sentence; None where nothing is spared, or the planner could not tell."""
    if not spared or not (complete or earliest):
        return None
    if earliest is None:
        return "Time alone does not start it: something has to end, or to be changed, before."
    at = moment_in_words(moment(earliest.at_ms).isoformat())
    if earliest.evictions:
        return f"If nothing else changes, preemption starts it at {at}."
    return f"If nothing else changes, time limits start it at {at}."


def _cause(each: Spared) -> dict[str, Any]:
    until = moment(each.until_ms).isoformat() if each.until_ms is not None else None
    return {"cause": each.cause.value, "count": each.count, "until": until}


def with_causes(reason: Reason, spared: Iterable[Spared]) -> dict[str, Any]:
    """The details of a reason as queries.reasons_for gives them: with the causes."""
    causes = [_cause(each) for each in spared if each.cause in COUNTED]
    if reason.code.value not in LACKING or not causes:
        return reason.details
    return {**reason.details, SPARED: causes}
