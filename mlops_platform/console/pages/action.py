"""An action on many deployments: what it would do, before it does it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from django.http import HttpRequest, QueryDict

from deployments.api.steering.actions import PRIORITY, RERUN, STOP, ActionSerializer, act
from mlops_platform.console.access import as_user_request
from mlops_platform.console.pages.deployments import filters_in

ALL = "all"
"""The scope of all that match the filters; else of those that are ticked."""
SAID = {
    STOP: ("Stop", "stopped"),
    PRIORITY: ("Change the priority of", "changed"),
    RERUN: ("Run again", "submitted again"),
}


@dataclass(frozen=True)
class Preview:
    """The dry run of an action, and the fields with which it is carried out."""

    action: str
    verb: str
    priority: str
    answer: Mapping[str, Any]
    by_status: str
    query: str
    fields: Sequence[tuple[str, str]] = field(default_factory=list)
    has_changed: bool = False
    """Whether another number of deployments is concerned than when it was looked at."""


def preview(request: HttpRequest, *, has_changed: bool = False) -> Preview:
    """Writes nothing. What the API's call raises."""
    body = _body(request.POST)
    answer, _ = act(as_user_request(request), {**body, "dry_run": True})
    kept = [
        (name, value)
        for name in ("action", "priority", "scope", "query")
        if (value := request.POST.get(name, ""))
    ]
    kept += [("ids", each) for each in body.get("ids", ())]
    kept += [("expected", str(answer["done"])), ("once", uuid4().hex)]
    return Preview(
        action=body["action"],
        verb=SAID[body["action"]][0],
        priority=body.get("priority", ""),
        answer=answer,
        by_status=", ".join(f"{n} {status.lower()}" for status, n in answer["by_status"].items()),
        query=request.POST.get("query", ""),
        fields=kept,
        has_changed=has_changed,
    )


def carry_out(request: HttpRequest) -> str | None:
    """What was done, in a sentence; None, and nothing done, where by now it concerns another
    number of deployments than its preview."""
    body = _body(request.POST)
    if body["action"] == PRIORITY:
        body["confirm"] = True  # the preview has named what it evicts
    asked: Any = as_user_request(request)
    foreseen, _ = act(asked, {**body, "dry_run": True})
    if str(foreseen["done"]) != request.POST.get("expected"):
        return None
    if once := request.POST.get("once"):
        asked.headers = {"Idempotency-Key": once}  # the same button twice submits once
    answer, _ = act(asked, {**body, "dry_run": False})
    said = f"{answer['done']} {SAID[body['action']][1]}"
    if answer["refused"]:
        reasons = "; ".join(sorted({each["detail"] for each in answer["refusals"]}))
        said += f", {answer['refused']} refused: {reasons}"
    return f"{said.rstrip('.')}."


def _body(form: QueryDict) -> dict[str, Any]:
    """The body of the API's call."""
    given: dict[str, Any] = {"action": form.get("action", "")}
    if given["action"] == PRIORITY:
        given["priority"] = form.get("priority", "")
    if form.get("scope") == ALL:
        filters = filters_in(QueryDict(form.get("query", "")))
        given["filter"] = {name: filters.getlist(name) for name in filters}
        if "status" in filters:
            given["filter"]["status"] = ",".join(filters.getlist("status"))
    else:
        given["ids"] = form.getlist("ids")
    body = ActionSerializer(data=given)
    body.is_valid(raise_exception=True)
    found: dict[str, Any] = body.validated_data
    return found
