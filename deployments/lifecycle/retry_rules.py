"""Which failures of a deployment are tried again, and with how much memory. Pure: rows in, values
out.

The column `retry` of a deployment has its rules: `on`, the causes that are tried again (else all),
`not_on`, those that end it at once, and for a lack of memory `ram_factor_milli` and
`ram_limit_mib`. A cause is a code of CAUSES, or an exit code or a range of them (`75`, `100-120`),
which mean a program that has ended by itself.
"""

from collections.abc import Iterable

from deployments.models import Deployment, Kind
from deployments.reasons import codes
from deployments.reasons.retries import FAIL_ON, RETRY_ON, RETRY_RAM_LIMIT
from deployments.runtimes.base import Code
from deployments.whole_nodes import EXCLUSIVE
from mlops_platform.api.fields import MILLI

CAUSES: frozenset[str] = frozenset(
    {
        *(Code.EXITED, Code.OUT_OF_MEMORY, Code.OUT_OF_DISK),
        *(Code.IMAGE_PULL_FAILED, Code.FETCH_FAILED, Code.COMMAND_FAILED, Code.REFUSED),
        *(codes.NOT_READY_IN_TIME, codes.NOT_ALIVE),
        *(codes.ENV_SEALED, codes.SECRET_MISSING, codes.SECRET_SEALED),
    }
)
"""The codes of failures. What is no fault of a deployment's own uses up no retry."""


def has_retries(row: Deployment) -> bool:
    return row.kind == Kind.SERVICE or row.retry_count < row.max_retries


def ending_rule(row: Deployment, code: str, exit_code: int | None) -> str:
    """The field of the submit by which the failure is not tried again; empty where none says so."""
    rules = row.retry
    if "not_on" in rules and _is_named(rules["not_on"], code, exit_code):
        return FAIL_ON
    if "on" in rules and not _is_named(rules["on"], code, exit_code):
        return RETRY_ON
    if code == Code.OUT_OF_MEMORY and "ram_limit_mib" in rules and next_ram_mib(row) is None:
        return RETRY_RAM_LIMIT
    return ""


def next_ram_mib(row: Deployment) -> int | None:
    """What the attempt after one that lacked memory asks for; None where that is no more."""
    rules = row.retry
    if "ram_factor_milli" not in rules or row.ram_mib >= rules["ram_limit_mib"]:
        return None
    if EXCLUSIVE in row.whole:  # it had all the RAM of its node
        return None
    grown = -(-row.ram_mib * rules["ram_factor_milli"] // MILLI)  # rounded up
    return min(grown, rules["ram_limit_mib"])


def _is_named(causes: Iterable[str], code: str, exit_code: int | None) -> bool:
    for cause in causes:
        if cause in CAUSES:
            if cause == code:
                return True
        elif code == Code.EXITED and exit_code is not None:
            first, _, last = cause.partition("-")
            if int(first) <= exit_code <= int(last or first):
                return True
    return False
