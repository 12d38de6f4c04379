"""Renders why running deployments are not preempted for one that waits: a sentence for each cause.

A cause with its count, and until when it lasts at least where time ends it, is a mapping of
`{"cause", "count", "until"}`; reasons and explanations have lists of these. No Django here.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from deployments.names import called

Cause = Mapping[str, Any]
SPARED = "spared"  # in a reason's details
DELAYED = "delayed"  # in a reason's details: the end for which it waits, though it could preempt


def sentence_of(cause: Cause) -> str:
    """`2 running deployments are of the same or a higher class.`"""
    count = cause["count"]
    who = "1 running deployment" if count == 1 else f"{count} running deployments"
    return SENTENCES[cause["cause"]](who, count > 1, cause.get("until"))


def sentences_of(causes: Iterable[Cause]) -> str:
    return " ".join(map(sentence_of, causes))


def moment_in_words(iso: str) -> str:
    return f"{iso[:19].replace('T', ' ')} UTC"


def delayed_sentence(delayed: Mapping[str, Any]) -> str:
    return (
        f"It waits for {called(delayed, 'after')} to end, by its time limit at "
        f"{moment_in_words(delayed['at'])}, instead of preempting (preemption_delay_s)."
    )


def _exempt(who: str, many: bool, until: str | None) -> str:
    end = "" if until is None else f"until {moment_in_words(until)}"
    if many:
        return f"{who} are exempt from preemption{', the first ' + end if end else ''}."
    return f"{who} is exempt from preemption{' ' + end if end else ''}."


def _plain(one: str, many: str) -> Callable[[str, bool, str | None], str]:
    return lambda who, is_many, _: (many if is_many else one).format(who=who)


SENTENCES: Mapping[str, Callable[[str, bool, str | None], str]] = {
    "LEAVES_ANYWAY": _plain(
        "{who} leaves anyway: it stops, or its node drains.",
        "{who} leave anyway: they stop, or their nodes drain.",
    ),
    "CLASS_MAY_NOT_PREEMPT": lambda *_: "Its priority class preempts nothing.",
    "SAME_OR_HIGHER_CLASS": _plain(
        "{who} is of the same or a higher class.", "{who} are of the same or a higher class."
    ),
    "PREEMPTION_OFF": _plain(
        "{who} of a lower class stays: preemption is off in the cluster.",
        "{who} of lower classes stay: preemption is off in the cluster.",
    ),
    "AVOIDED_NODE": _plain(
        "{who} is on the node that was at fault, which the next attempt avoids for some minutes.",
        "{who} are on the node that was at fault, which the next attempt avoids for some minutes.",
    ),
    "MAINTENANCE_WINDOW": _plain(
        "{who} is on a node with maintenance ahead, into which the preemptor could run.",
        "{who} are on nodes with maintenance ahead, into which the preemptor could run.",
    ),
    "OTHER_NODES": _plain(
        "{who} is on a node that is closed or lacks the labels asked for.",
        "{who} are on nodes that are closed or lack the labels asked for.",
    ),
    "CLASS_NOT_PREEMPTIBLE": _plain(
        "{who} is of a class that is never preempted.",
        "{who} are of classes that are never preempted.",
    ),
    "MAX_PREEMPTIONS": _plain(
        "{who} has been preempted as often as max_preemptions allows.",
        "{who} have been preempted as often as max_preemptions allows.",
    ),
    "EXEMPT": _exempt,
    "PREEMPTION_DELAY": lambda who, is_many, until: (
        f"{who} could be preempted, but {'their' if is_many else 'its'} preemptor waits for a time "
        f"limit instead, until {moment_in_words(until)} at most."
        if until
        else f"{who} could be preempted, but the preemptor waits for a time limit instead."
    ),
    "NOT_ITS_TURN": _plain(
        "{who} could be preempted, but not before its turn.",
        "{who} could be preempted, but not before its turn.",
    ),
    "LOW_SHARE": _plain(
        "{who} is of a class that keeps its share of the cluster (low_share_percent).",
        "{who} are of classes that keep their share of the cluster (low_share_percent).",
    ),
    "RESERVED": _plain(
        "What {who} would free is reserved for another deployment.",
        "What {who} would free is reserved for another deployment.",
    ),
    "TOO_LITTLE": _plain(
        "{who} may be preempted, but would free too little.",
        "{who} may be preempted, but would free too little.",
    ),
}
