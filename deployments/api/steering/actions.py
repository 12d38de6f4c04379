"""`POST /deployments/actions`: its body, what it does, and its answer."""

import json
from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from accounts.api.requests import UserRequest
from deployments import hooks
from deployments.api.headers import idempotency_key
from deployments.api.parts import VictimSerializer
from deployments.api.steering.chosen import Filter, by_filter, by_ids
from deployments.models import Deployment, Status
from deployments.services import many
from deployments.services.many import MOST, Done
from mlops_platform.api.errors import Invalid
from mlops_platform.api.fields import BoundedList, Choice, Flag, Reference, Text
from mlops_platform.api.serializers import StrictSerializer

STOP, PRIORITY, RERUN = "stop", "priority", "rerun"
MOST_NAMED = 20


class ActionSerializer(StrictSerializer):
    action = Choice([STOP, PRIORITY, RERUN])
    ids = BoundedList(
        Reference(),
        most=MOST,
        required=False,
        allow_empty=False,
        help_text="Of deployments; or `filter`, not both.",
    )
    filter = Filter(
        required=False,
        help_text="The filters of a list by name, each with a text, or with a list of texts where "
        f"it may be given several times; at least one. At most {MOST:,} deployments may match.",
    )
    priority = Text(max_length=100, required=False, help_text="With the action priority.")
    confirm = Flag(
        default=False, help_text="With the action priority: it may evict others at once."
    )
    dry_run = Flag(default=False, help_text="Answers what it would do, and does nothing.")

    class Meta:
        ref_name = "Action"
        swagger_schema_fields: Mapping[str, Any] = {
            "example": {
                "action": STOP,
                "filter": {"label": ["sweep=lr"], "status": "QUEUED,RUNNING"},
                "dry_run": True,
            }
        }


class NamedSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()

    class Meta:
        ref_name = "NamedDeployment"


class ChangedSerializer(NamedSerializer):
    evicts = VictimSerializer(
        many=True,
        required=False,
        allow_null=True,
        help_text="In the dry run of a priority: what would be evicted for it at once, if all had "
        "that priority. Null where that is not known: see `evicts_unknown`.",
    )

    class Meta:
        ref_name = "ChangedDeployment"


class RefusedSerializer(serializers.Serializer):
    id = serializers.CharField()
    name = serializers.CharField(allow_null=True, help_text="Null for what you may not see.")
    code = serializers.CharField()
    detail = serializers.CharField(help_text="What the single call would say.")

    class Meta:
        ref_name = "RefusedDeployment"


class ActionAnswerSerializer(serializers.Serializer):
    action = serializers.ChoiceField([STOP, PRIORITY, RERUN])
    dry_run = serializers.BooleanField()
    chosen = serializers.IntegerField(help_text="How many the ids or the filter name.")
    done = serializers.IntegerField(help_text="Stopped, changed or run again; or would be.")
    by_status = serializers.DictField(
        child=serializers.IntegerField(), help_text="Those of `done` by the status of before."
    )
    unchanged = serializers.IntegerField(help_text="They were so already.")
    refused = serializers.IntegerField()
    first = ChangedSerializer(many=True, help_text=f"The first {MOST_NAMED} of `done`.")
    refusals = RefusedSerializer(many=True, help_text=f"The first {MOST_NAMED} of `refused`.")
    submitted = serializers.ListField(
        child=serializers.UUIDField(), help_text="Of rerun: the new deployments, in order."
    )
    submitted_names = serializers.ListField(child=serializers.CharField())
    evicted = serializers.IntegerField(
        required=False,
        allow_null=True,
        help_text="In the dry run of a priority: how many would be evicted at once; null where "
        "that is not known of all.",
    )
    evicts_unknown = serializers.CharField(
        required=False, allow_null=True, help_text="Why that is not known of all."
    )

    class Meta:
        ref_name = "ActionAnswer"
        swagger_schema_fields: Mapping[str, Any] = {
            "example": {
                "action": STOP,
                "dry_run": True,
                "chosen": 12,
                "done": 11,
                "by_status": {"QUEUED": 9, "RUNNING": 2},
                "unchanged": 1,
                "refused": 0,
                "first": [{"id": "0199d1c5-3f10-7e42-8a6b-9c0d51e27f34", "name": "lr-0.1"}],
                "refusals": [],
                "submitted": [],
                "submitted_names": [],
            }
        }


def act(request: UserRequest, body: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Carry the action out. The answer, and whether it repeats that of an earlier request."""
    action, dry_run, priority = body["action"], body["dry_run"], body.get("priority")
    if ("ids" in body) == ("filter" in body):
        raise Invalid({"ids": "Give either ids or filter."})
    if (action == PRIORITY) != (priority is not None):
        raise Invalid({"priority": f"With the action {PRIORITY}, and with no other."})
    if "ids" in body:
        rows, unseen = by_ids(request, body["ids"])
    else:
        rows, unseen = by_filter(request, body["filter"]), []
    if action == STOP:
        done = many.stop_many(request.user, rows, dry_run=dry_run)
    elif priority is not None:
        done = many.give_priority(
            request.user, rows, priority, dry_run=dry_run, confirm=body["confirm"]
        )
    else:
        done = many.rerun_many(
            request.user,
            rows,
            dry_run=dry_run,
            idempotency_key=idempotency_key(request),
            body=json.dumps(body, sort_keys=True),
        )
    done.refused = unseen + done.refused
    answer = _answer(action, dry_run, done, len(rows) + len(unseen))
    if priority is not None and dry_run:
        _add_evictions(answer, done, hooks.would_evict(done.changed, priority))
    return answer, done.replayed


def _answer(action: str, dry_run: bool, done: Done, chosen: int) -> dict[str, Any]:
    by_status = done.by_status
    return {
        "action": action,
        "dry_run": dry_run,
        "chosen": chosen,
        "done": len(done.submitted) if done.replayed else len(done.changed),
        "by_status": {str(each): by_status[each] for each in Status if by_status[each]},
        "unchanged": len(done.unchanged),
        "refused": len(done.refused),
        "first": [_named(row) for row in done.changed[:MOST_NAMED]],
        "refusals": [vars(each) for each in done.refused[:MOST_NAMED]],
        "submitted": [str(row.pk) for row in done.submitted],
        "submitted_names": [row.name for row in done.submitted],
    }


def _add_evictions(answer: dict[str, Any], done: Done, found: hooks.Evictions) -> None:
    for shown, row in zip(answer["first"], done.changed, strict=False):
        shown["evicts"] = found.by.get(row.pk)
    count = sum(map(len, found.by.values()))
    answer["evicted"] = count if found.unknown is None else None
    answer["evicts_unknown"] = found.unknown


def _named(row: Deployment) -> dict[str, Any]:
    return {"id": str(row.pk), "name": row.name}
