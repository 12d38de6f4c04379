"""The timeline in sentences."""

from collections.abc import Mapping
from typing import Any

import pytest

from deployments.models import EventType
from deployments.names import Named
from mlops_platform.console.pages.timeline import in_words

ONE, OTHER = "0199d1c5-3f10-7e42-8a6b-9c0d51e27f34", "0199d1c5-1a7c-7d90-b2c4-5e8f6a0d3b17"
NAMES = {ONE: Named("lr-3", "ada"), OTHER: Named("eval", "grace")}


@pytest.mark.parametrize(
    ("kind", "details", "said"),
    [
        (EventType.SUBMITTED, {}, ""),
        (EventType.STARTED, {"victims": [ONE, OTHER]}, "Evicts lr-3 of ada, eval of grace."),
        (EventType.STARTED, {"attempt": 2}, "Attempt 2."),
        (EventType.COMPLETED, {"exit_code": 0}, "Exit code 0."),
        (
            EventType.PREEMPTED,
            {"by": ONE, "priority": "HIGH", "lost_s": 12},
            "Made room for lr-3 of ada (HIGH), losing 12 s of work.",
        ),
        (
            EventType.CHANGED,
            {"priority": {"from": "LOW", "to": "HIGH"}, "labels": {"from": {}, "to": {"a": "b"}}},
            "labels: none → a=b priority: LOW → HIGH",
        ),
        (EventType.STOPPED, {"from": "QUEUED"}, ""),
        (
            EventType.FAILED,
            {"code": "MAX_RUNTIME_EXCEEDED", "max_runtime_s": 60},
            "Ran longer than the 60 s that it was allowed.",
        ),
    ],
)
def test_an_event_is_a_sentence_without_ids(
    kind: EventType, details: Mapping[str, Any], said: str
) -> None:
    found = in_words(kind, details, NAMES)
    assert found == said
    assert ONE not in found
