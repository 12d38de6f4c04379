"""How a sweep looks in an answer."""

from collections.abc import Mapping, Sequence
from typing import Any

from rest_framework import serializers

from clusters.api.serializers import EXAMPLE_ORGANIZATION
from deployments.api.parts import ReasonSerializer, VictimSerializer
from deployments.models import Status, Sweep
from deployments.queries.sweeps import Progress, progress_of

MOST_NAMED = 20
STATUSES = (Status.QUEUED, Status.RUNNING, Status.COMPLETED, Status.FAILED, Status.STOPPED)


EXAMPLE: Mapping[str, Any] = {
    "id": "0199d1c9-3f10-7000-8000-000000000009",
    "name": "lr-sweep",
    "cluster_id": "0199d1c4-5e21-7b6f-9d0a-41c2f7a8b305",
    "cluster": "gpu-west",
    "organization_id": EXAMPLE_ORGANIZATION,
    "organization": "vision",
    "owner_id": "0199d1c2-77ab-7e9f-a1d0-6b3f0c9e2d18",
    "owner": "ada",
    "max_parallel": 2,
    "status": "RUNNING",
    "total": 2,
    "ended": 1,
    "counts": {"RUNNING": 1, "COMPLETED": 1},
    "created_at": "2026-03-01T09:00:00Z",
    "started_at": "2026-03-01T09:00:01Z",
    "finished_at": None,
}
SHOWN_EXAMPLE = {**EXAMPLE, "parameters": [{"lr": 0.1}, {"lr": 0.01}]}


class ListedSweepSerializer(serializers.Serializer):
    """Needs `progress` by id in its context."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    cluster_id = serializers.UUIDField()
    cluster = serializers.CharField(source="cluster.name")
    organization_id = serializers.UUIDField(source="cluster.organization_id")
    organization = serializers.CharField(source="cluster.organization.name")
    owner_id = serializers.UUIDField()
    owner = serializers.CharField(source="owner.username", help_text="The user's name.")
    max_parallel = serializers.IntegerField(
        allow_null=True, help_text="How many members may run at once; null for all that fit."
    )
    status = serializers.ChoiceField(
        STATUSES,
        source="progress.status",
        help_text="QUEUED until a member has started, RUNNING until all have ended; then FAILED if "
        "any failed, else STOPPED if any was stopped, else COMPLETED.",
    )
    total = serializers.IntegerField(source="size", help_text="How many members it has.")
    ended = serializers.IntegerField(source="progress.ended")
    counts = serializers.DictField(
        source="progress.counts",
        child=serializers.IntegerField(),
        help_text="Members by status, those that are not 0. After a retry the newest counts.",
    )
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(
        source="progress.started_at", allow_null=True, help_text="Of the first member that runs."
    )
    finished_at = serializers.DateTimeField(
        source="progress.finished_at", allow_null=True, help_text="Once all members have ended."
    )

    class Meta:
        ref_name = "ListedSweep"
        swagger_schema_fields: Mapping[str, Any] = {"example": EXAMPLE}


class ShownSweepSerializer(ListedSweepSerializer):
    parameters = serializers.ListField(
        child=serializers.DictField(), help_text="Of each member, by its sweep_index."
    )

    class Meta:
        ref_name = "Sweep"
        swagger_schema_fields: Mapping[str, Any] = {"example": SHOWN_EXAMPLE}


class DryRunSerializer(serializers.Serializer):
    dry_run = serializers.BooleanField()
    total = serializers.IntegerField(help_text="How many members there would be.")
    first = serializers.ListField(
        child=serializers.DictField(),
        help_text=f"Name, command, args, env_names and parameters of the first {MOST_NAMED}.",
    )
    starts_now = serializers.IntegerField(
        allow_null=True, help_text="Members that would start at once; null where `unknown` is set."
    )
    waits = serializers.IntegerField(allow_null=True, help_text="Members that would wait.")
    evicts = VictimSerializer(many=True, help_text="What would be evicted for them at once.")
    reason = ReasonSerializer(
        allow_null=True, help_text="Why the first that would wait does; null where all start."
    )
    unknown = serializers.CharField(
        allow_null=True, help_text="Why it is not known what would become of them."
    )

    class Meta:
        ref_name = "SweepDryRun"
        swagger_schema_fields: Mapping[str, Any] = {
            "example": {
                "dry_run": True,
                "total": 1,
                "first": [
                    {
                        "name": "lr-0.1",
                        "command": [],
                        "args": ["--lr", "0.1"],
                        "env_names": [],
                        "parameters": {"lr": 0.1},
                    }
                ],
                "starts_now": 1,
                "waits": 0,
                "evicts": [],
                "reason": None,
                "unknown": None,
            }
        }


class StoppedSweepSerializer(serializers.Serializer):
    stopped = serializers.IntegerField(help_text="Members that had not ended.")
    sweep = ShownSweepSerializer()

    class Meta:
        ref_name = "StoppedSweep"
        swagger_schema_fields: Mapping[str, Any] = {
            "example": {"stopped": 1, "sweep": SHOWN_EXAMPLE}
        }


class RetriedSweepSerializer(serializers.Serializer):
    retried = serializers.IntegerField(help_text="Members that had failed.")
    submitted = serializers.ListField(
        child=serializers.UUIDField(), help_text="The new deployments, in the order of indexes."
    )
    submitted_names = serializers.ListField(child=serializers.CharField())
    sweep = ShownSweepSerializer()

    class Meta:
        ref_name = "RetriedSweep"
        swagger_schema_fields: Mapping[str, Any] = {
            "example": {
                "retried": 1,
                "submitted": ["0199d1c9-3f10-7000-8000-00000000000a"],
                "submitted_names": ["lr-0.1"],
                "sweep": SHOWN_EXAMPLE,
            }
        }


def present_sweeps(
    sweeps: Sequence[Sweep], serializer: type[ListedSweepSerializer] = ListedSweepSerializer
) -> list[dict[str, Any]]:
    """One query, none for no sweep."""
    progress: Mapping[Any, Progress] = progress_of(sweeps)
    for each in sweeps:
        each.progress = progress[each.pk]
    return list(serializer(sweeps, many=True).data)


def present_sweep(sweep: Sweep) -> dict[str, Any]:
    return present_sweeps([sweep], ShownSweepSerializer)[0]
