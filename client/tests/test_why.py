"""`mlops why` suggests what an explanation says would help."""

from __future__ import annotations

from typing import Any

import pytest

from mlops.cli.commands.why import suggestions
from mlops.models.answers import Explanation

NO_HELP: dict[str, Any] = {
    "nothing_changed": None,
    "priority": None,
    "less": [],
    "without_exclusive": False,
    "without_labels": {},
    "another_cluster": [],
}


@pytest.mark.parametrize(
    ("helps", "found"),
    [
        ({"max_runtime_s": 3540}, ["mlops change train --time-limit 3540s"]),
        ({"max_runtime_s": None}, []),
        ({}, []),  # an older platform
        (
            {"less": [{"field": "required_gpu", "at_most": 2}], "max_runtime_s": 60},
            ["mlops change train --gpu 2", "mlops change train --time-limit 60s"],
        ),
    ],
)
def test_a_smaller_time_limit_is_suggested(helps: dict[str, Any], found: list[str]) -> None:
    explanation = Explanation({"starts_now_with": {**NO_HELP, **helps}})
    assert [command for command, _ in suggestions({}, explanation, "train")] == found
