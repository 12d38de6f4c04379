"""The house rules of an organization: parse, call one service or query, answer."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from accounts.api.requests import UserRequest
from clusters.api.amounts import cpu_field, gpu_field, ram_field
from deployments.api.body.fields import Items
from deployments.house import services
from deployments.house.rules import FREE
from deployments.house_rules import HouseRules, Stop
from deployments.queries.priority_classes import priority_classes, priority_named
from mlops_platform.api.errors import Invalid
from mlops_platform.api.fields import BoundedList, Choice, Flag, Reference, ShownCores, Text
from mlops_platform.api.schema import Doc
from mlops_platform.api.serializers import StrictSerializer
from organizations.api.permissions import NamedRoleViewSet
from organizations.models import Role

MOST_CLASSES, MOST_MEMBERS = 20, 100
EXAMPLE: dict[str, Any] = {
    "stop": "own",
    "confirm_evictions": True,
    "restricted": [{"priority": "HIGH", "role": "ADMIN", "members": ["grace"]}],
    "max_preempting_cpu": None,
    "max_preempting_ram": None,
    "max_preempting_gpu": 4,
}
NO_LIMIT = "Of one member's deployments that may preempt and have not ended; null: no limit."


class RestrictionSerializer(StrictSerializer):
    priority = Text(max_length=20, help_text=f"A priority class, any but {FREE}.")
    role = Choice(Role.choices, help_text="The lowest role that may use it.")
    members = BoundedList(
        Reference(),
        most=MOST_MEMBERS,
        required=False,
        allow_empty=False,
        help_text="Members who may as well, by name or id.",
    )

    class Meta:
        ref_name = "Restriction"
        swagger_schema_fields: dict[str, Any] = {"example": EXAMPLE["restricted"][0]}


class ChangeRulesSerializer(StrictSerializer):
    """What is not given stays as it is."""

    stop = Choice(
        Stop.choices,
        required=False,
        help_text="Whose deployments members stop: `all`, or their `own`. An ADMIN stops all.",
    )
    confirm_evictions = Flag(
        required=False,
        help_text="A submit, or another priority, that would evict others at once needs the token "
        "of a quote, or `confirm`.",
    )
    restricted = Items(
        RestrictionSerializer(),
        most=MOST_CLASSES,
        required=False,
        allow_null=True,
        help_text="Classes that not every DEVELOPER may use; null: none.",
    )
    max_preempting_cpu = cpu_field(
        "max_cpu_milli", least=0, required=False, allow_null=True, help_text=f"Cores. {NO_LIMIT}"
    )
    max_preempting_ram = ram_field(
        "max_ram_mib", least=0, required=False, allow_null=True, help_text=f"MiB. {NO_LIMIT}"
    )
    max_preempting_gpu = gpu_field(
        source="max_gpu", required=False, allow_null=True, help_text=f"GPUs. {NO_LIMIT}"
    )

    class Meta:
        ref_name = "ChangeHouseRules"
        swagger_schema_fields: dict[str, Any] = {"example": EXAMPLE}


class ShownRestrictionSerializer(serializers.Serializer):
    priority = serializers.CharField()
    role = serializers.ChoiceField(Role.choices)
    members = serializers.ListField(child=serializers.CharField(), help_text="By name.")

    class Meta:
        ref_name = "ShownRestriction"


class RulesSerializer(serializers.Serializer):
    stop = serializers.ChoiceField(Stop.choices)
    confirm_evictions = serializers.BooleanField()
    restricted = ShownRestrictionSerializer(many=True)
    max_preempting_cpu = ShownCores(source="max_cpu_milli", allow_null=True)
    max_preempting_ram = serializers.IntegerField(source="max_ram_mib", allow_null=True)
    max_preempting_gpu = serializers.IntegerField(source="max_gpu", allow_null=True)

    class Meta:
        ref_name = "HouseRules"
        swagger_schema_fields: dict[str, Any] = {"example": EXAMPLE}


DOCS = {
    "rules": Doc(
        "organizations",
        "The house rules of an organization",
        "What its members may do to each other's work.",
        answers={200: RulesSerializer},
        operation_id="orgs_rules_get",
    ),
    "change_rules": Doc(
        "organizations",
        "Change the house rules (ADMIN)",
        "What waits or runs stays as it is.",
        answers={200: RulesSerializer},
        operation_id="orgs_rules_change",
    ),
}


class HouseRulesViewSet(NamedRoleViewSet):
    roles = {"rules": Role.VIEWER, "change_rules": Role.ADMIN}
    key_scopes = {"change_rules": None}
    bodies = {"change_rules": ChangeRulesSerializer}
    docs = DOCS
    serializer_class = RulesSerializer
    queryset = HouseRules.objects.none()

    def get_queryset(self) -> QuerySet[HouseRules]:
        return self.queryset

    @action(detail=False)
    def rules(self, request: UserRequest, organization_id: UUID) -> Response:
        self.check_role(organization_id)
        return Response(_shown(services.rules_of(organization_id)))

    @rules.mapping.patch
    def change_rules(self, request: UserRequest, organization_id: UUID) -> Response:
        self.check_role(organization_id)
        body = self.body()
        if "restricted" in body:
            body["restricted"] = _with_ids(organization_id, body["restricted"] or [])
        return Response(_shown(services.change_rules(request.user, organization_id, body)))


def _with_ids(organization_id: UUID, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The restrictions as they are kept; 400 naming `restricted` for a class, or a member, that is
    none, and for a class that stands there twice."""
    classes = priority_classes()
    found: dict[str, dict[str, Any]] = {}
    for each in given:
        name = priority_named(each["priority"], classes).name
        if name == FREE or name in found:
            raise Invalid({"restricted": f"{name} {'stays free' if name == FREE else 'is twice'}."})
        members = services.members_named(organization_id, each.get("members", ()))
        found[name] = {"priority": name, "role": each["role"], "members": members}
    return list(found.values())


def _shown(rules: HouseRules) -> dict[str, Any]:
    names = services.names_of(rules)
    restricted = [
        {**each, "members": [names[key] for key in each["members"] if key in names]}
        for each in rules.restricted
    ]
    shown = {field.attname: getattr(rules, field.attname) for field in rules._meta.fields}
    return dict(RulesSerializer({**shown, "restricted": restricted}).data)
