"""What a reason says of retries: how the next attempt differs, or which rule ended the last."""

from collections.abc import Mapping
from typing import Any

from mlops_platform.api.resources import amount_in_words

ENDED_BY = "ended_by"  # in details: the field of the submit by which it is not tried again
NEXT = "next"  # in details: the columns that the next attempt changes

FAIL_ON = "fail_on"
RETRY_ON = "retry_on"
RETRY_RAM_LIMIT = "retry_ram_limit"
ON_PREEMPT = "on_preempt"  # of an eviction: scheduler/store/sql.py

_RULES: Mapping[str, str] = {
    FAIL_ON: "its fail_on names that",
    RETRY_ON: "its retry_on does not name that",
    ON_PREEMPT: "its on_preempt is fail",
    RETRY_RAM_LIMIT: "its retry_ram_limit is reached",
}


def with_retry(message: str, details: Mapping[str, Any]) -> str:
    if rule := details.get(ENDED_BY):
        message += f" It is not tried again: {_RULES[rule]}."
    if ram_mib := (details.get(NEXT) or {}).get("ram_mib"):
        message += f" The next attempt asks for {amount_in_words('ram_mib', ram_mib)}."
    if node := (details.get(NEXT) or {}).get("node"):
        message += f" The next attempt starts on another node than {node}."
    return message
