"""Why there is no output: a code for programs, and a sentence for people."""

from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

from django.conf import settings
from django.utils import timezone

from deployments.models import ENDED, Deployment, Status

KEPT_ATTEMPTS = 20  # of a deployment: output of earlier ones is removed
CODE, DETAIL = "X-Logs-Missing", "X-Logs-Missing-Detail"


class Code(StrEnum):
    SIMULATED = "simulated"
    NOT_STARTED = "not_started"
    NOTHING_YET = "nothing_yet"
    WROTE_NOTHING = "wrote_nothing"
    NOTHING_SELECTED = "nothing_selected"
    REMOVED = "removed"
    NOT_KEPT = "not_kept"
    NODE_GONE = "node_gone"


class Missing(NamedTuple):
    """An answer without a byte of output. `detail` is one line of ASCII: a header has it."""

    code: Code
    detail: str

    @property
    def headers(self) -> dict[str, str]:
        return {CODE: self.code, DETAIL: self.detail}

    @property
    def line(self) -> bytes:
        """For a log that was followed before it was known that there is none. Empty where that is
        what was written."""
        if self.code in (Code.WROTE_NOTHING, Code.NOTHING_SELECTED):
            return b""
        return f"[none: {self.detail}]\n".encode()


SIMULATED = Missing(
    Code.SIMULATED, "In a simulated cluster no container runs, so nothing is written."
)
WROTE_NOTHING = Missing(Code.WROTE_NOTHING, "It wrote nothing.")
NOTHING_SELECTED = Missing(
    Code.NOTHING_SELECTED, "There is output, and no line of it is among those asked for."
)
NODE_GONE = Missing(Code.NODE_GONE, "The node on which it runs is not attached any more.")


def nothing_read(row: Deployment, *, whole: bool) -> Missing:
    """Where the endpoint has answered without a byte. `whole`: all lines were asked for."""
    if not whole:
        detail = "No line of what it has written so far is among those asked for."
        return Missing(Code.NOTHING_SELECTED, detail)
    state = "is starting" if row.status == Status.STARTING else "runs"
    return Missing(Code.NOTHING_YET, f"It {state}, and has written nothing yet.")


def nothing_kept(row: Deployment, attempt: int) -> Missing:
    """Where no log of the attempt is kept, and no node has it. No query."""
    if row.attempt == 0:
        if row.status in ENDED:
            return Missing(Code.NOT_STARTED, "It ended before it was started.")
        return Missing(Code.NOT_STARTED, "It waits for its start; follow=true waits with it.")
    if attempt <= row.attempt - KEPT_ATTEMPTS:
        detail = f"Only the output of the last {KEPT_ATTEMPTS} attempts is kept."
        return Missing(Code.REMOVED, detail)
    days, share = settings.OUTPUT_RETENTION_DAYS, settings.OUTPUT_MIB_PER_ORGANIZATION
    if row.finished_at is not None:
        if row.finished_at < timezone.now() - timedelta(days=days):
            return Missing(Code.REMOVED, f"Output is removed {days} days after its end.")
        if attempt == row.attempt and row.started_at is None:
            detail = f"Attempt {attempt} ended before its container ran."
            return Missing(Code.NOT_STARTED, detail)
    return Missing(
        Code.NOT_KEPT,
        f"Nothing of attempt {attempt} is kept: its container never ran, its node was away when it "
        f"ended, or it was removed, after {days} days or as the organization had more than "
        f"{share} MiB of output.",
    )
