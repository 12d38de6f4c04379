"""The bodies of the calls for sweeps."""

from collections.abc import Mapping
from decimal import Decimal
from itertools import islice
from math import isfinite
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from deployments.api.body.fields import OF_THE_PLATFORM, VARIABLE
from deployments.api.serializers import EXAMPLE_CLUSTER, LONGEST_NAME, BulkItemSerializer
from deployments.services.drafting.drafts import Order
from deployments.services.sweeps.placeholders import (
    INDEX,
    MOST_BYTES,
    TOO_LARGE,
    Value,
    combined,
    filled,
    refuse_env_of_parameters,
    size_of,
)
from deployments.services.sweeps.submit import Wanted
from deployments.sweep import MOST_MEMBERS
from mlops_platform.api.errors import Invalid
from mlops_platform.api.fields import Flag, Label, WholeNumber
from mlops_platform.api.serializers import StrictSerializer

MOST_PARAMETERS, LONGEST_VALUE = 20, 1000
LARGEST_NUMBER = 10**100
TOO_MANY = f"At most {MOST_MEMBERS:,} members"
_member = BulkItemSerializer()


def _refuse_name(name: Any) -> None:
    if not isinstance(name, str) or not VARIABLE.fullmatch(name):
        raise ValidationError(
            f"A name has letters, digits and _, and does not start with a digit: {str(name)[:50]!r}"
        )
    if name == INDEX or OF_THE_PLATFORM.fullmatch(name):
        raise ValidationError(f"The platform sets {name[:50]} itself.")


def _a_value(name: str, value: Any) -> Value:
    if isinstance(value, bool) or (isinstance(value, str) and len(value) <= LONGEST_VALUE):
        return value
    if isinstance(value, int) and abs(value) < LARGEST_NUMBER:
        return value
    if isinstance(value, Decimal | float) and _is_sound(number := Decimal(str(value))):
        return number
    raise ValidationError(
        f"{name[:50]}: a text of at most {LONGEST_VALUE} letters, a number, true or false."
    )


def _is_sound(number: Decimal) -> bool:
    return isfinite(number) and abs(number) < LARGEST_NUMBER and len(str(number)) <= LONGEST_VALUE


def _refuse_many(names: Any) -> None:
    if not 1 <= len(names) <= MOST_PARAMETERS:
        raise ValidationError(f"1 to {MOST_PARAMETERS} parameters.")
    for name in names:
        _refuse_name(name)


class Matrix(serializers.Field):
    """Lists of values by parameter."""

    class Meta:
        swagger_schema_fields: Mapping[str, Any] = {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {}},
        }

    def to_internal_value(self, data: Any) -> dict[str, list[Value]]:
        if not isinstance(data, dict):
            raise ValidationError("An object: of each parameter a list of values.")
        _refuse_many(data)
        size = 1
        for name, values in data.items():
            if not isinstance(values, list) or not values:
                raise ValidationError(f"{name}: a list with a value or more.")
            size *= len(values)
            if size > MOST_MEMBERS:
                raise ValidationError(f"{TOO_MANY}; these are more combinations.")
        return {name: [_a_value(name, each) for each in data[name]] for name in data}


class ParameterSets(serializers.Field):
    """A list of sets, all with the same names."""

    class Meta:
        swagger_schema_fields: Mapping[str, Any] = {"type": "array", "items": {"type": "object"}}

    def to_internal_value(self, data: Any) -> list[dict[str, Value]]:
        if not isinstance(data, list) or not data:
            raise ValidationError("A list with a set of parameters or more.")
        if len(data) > MOST_MEMBERS:
            raise ValidationError(f"{TOO_MANY}.")
        for number, each in enumerate(data):
            if not isinstance(each, dict):
                raise ValidationError(f"Number {number} is no object.")
            if each.keys() != data[0].keys():
                raise ValidationError(f"Number {number} has other names than the first set.")
        _refuse_many(data[0])
        return [{name: _a_value(name, each[name]) for name in data[0]} for each in data]


class Template(serializers.Field):
    """The body of a submit, which is read once the parameters are in it."""

    class Meta:
        swagger_schema_fields: Mapping[str, Any] = {"type": "object"}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise ValidationError("The body of a submit.")
        return data


def _limit(**more: Any) -> WholeNumber:
    return WholeNumber(
        min_value=1,
        max_value=MOST_MEMBERS,
        allow_null=True,
        help_text="How many of its members may run at once; null for all that fit.",
        **more,
    )


class SweepSerializer(StrictSerializer):
    name = Label(max_length=LONGEST_NAME, required=False, help_text="Else the template's.")
    matrix = Matrix(
        required=False, help_text="Every combination is a member; the last name changes fastest."
    )
    parameters = ParameterSets(required=False, help_text="Each is a member; in place of matrix.")
    max_parallel = _limit(default=None)
    template = Template(
        help_text="What POST /deployments takes, without a quote. {lr} is the parameter lr in its "
        "name, command, args and env, {index} the member's number from 0; {{ and }} are braces."
    )
    dry_run = Flag(default=False, help_text="Answers what it would submit, and submits nothing.")

    class Meta:
        ref_name = "SubmitSweep"
        swagger_schema_fields: Mapping[str, Any] = {
            "example": {
                "name": "lr-sweep",
                "matrix": {"lr": [0.1, 0.01], "seed": [1, 2, 3]},
                "max_parallel": 4,
                "template": {
                    "cluster_id": EXAMPLE_CLUSTER,
                    "name": "lr-{lr}-{seed}",
                    "image": "registry.example.com/vision/train:1.2",
                    "required_cpu": 4,
                    "required_ram": 16384,
                    "required_gpu": 1,
                    "args": ["--lr", "{lr}", "--seed", "{seed}"],
                    "simulated_runtime_s": 120,
                },
            }
        }


class ChangeSweepSerializer(StrictSerializer):
    """What is not given stays as it is."""

    name = Label(max_length=LONGEST_NAME, required=False)
    max_parallel = _limit(required=False)

    class Meta:
        ref_name = "ChangeSweep"
        swagger_schema_fields: Mapping[str, Any] = {"example": {"max_parallel": 8}}


def wanted(body: Mapping[str, Any]) -> Wanted:
    """The members that the body asks for. 400 that names the template's field, and the first member
    at fault."""
    if ("matrix" in body) == ("parameters" in body):
        raise Invalid({"matrix": "Give either matrix or parameters."})
    sets = combined(body["matrix"]) if "matrix" in body else body["parameters"]
    template = body["template"]
    refuse_env_of_parameters(template, sets[0])
    orders, size = [], 0
    for index, parameters in enumerate(sets):
        member = filled(template, parameters, index)
        size += size_of(member)
        if size > MOST_BYTES:
            raise Invalid({"template": TOO_LARGE})
        spec = _read(member, index)
        orders.append(Order(spec.pop("cluster_id"), spec, spec.pop("priority")))
    name = body.get("name") or template.get("name") or template["image"].rpartition("/")[2]
    return Wanted(name[:LONGEST_NAME], sets, body["max_parallel"], orders)


def _read(member: dict[str, Any], index: int) -> dict[str, Any]:
    try:
        return dict(_member.run_validation(member))
    except ValidationError as error:
        detail = error.detail if isinstance(error.detail, dict) else {"": error.detail}
        where = f"template (member {index})" if index else "template"
        faults = {f"{where}.{name}".rstrip("."): said for name, said in islice(detail.items(), 20)}
        raise ValidationError(faults) from None
