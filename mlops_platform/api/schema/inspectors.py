"""Makes drf-yasg's schemas say what the API's fields really take and show.

Answers differ from bodies. A body's serializer is a StrictSerializer: it refuses unknown fields and
empty texts. Any other serializer makes answers: its fields, or those that its Meta names under
`always_there`, are always there, and texts may be empty.
"""

from typing import Any

from drf_yasg import openapi
from drf_yasg.inspectors import (
    DictFieldInspector,
    FieldInspector,
    NotHandled,
    ReferencingSerializerInspector,
    SimpleFieldInspector,
)
from rest_framework import serializers
from rest_framework.fields import _UnvalidatedField, empty

from mlops_platform.api.fields import (
    MILLI,
    Cores,
    Deadline,
    Mebibytes,
    Reference,
    ShownNumberOr,
    ShownSeconds,
    ShownThousandths,
    Text,
    Thousandths,
    WholeNumberOr,
)
from mlops_platform.api.serializers import StrictSerializer


class SerializerInspector(ReferencingSerializerInspector):
    """Objects: which fields are always there, and whether null may stand for the whole."""

    def add_manual_fields(self, serializer_or_field: Any, schema: Any) -> None:
        super().add_manual_fields(serializer_or_field, schema)
        if not isinstance(serializer_or_field, serializers.Serializer):
            return
        for of_the_first_field in ("description", "x-nullable", "default"):
            schema.pop(of_the_first_field, None)
        if isinstance(serializer_or_field, StrictSerializer):
            schema["additionalProperties"] = False
            return
        for shown in schema.properties.values():
            shown.pop("readOnly", None)  # as all are
        whole = getattr(getattr(serializer_or_field, "Meta", None), "always_there", None)
        always = whole or [
            name for name, each in serializer_or_field.fields.items() if _is_always_there(each)
        ]
        if always:
            schema["required"] = always

    def field_to_swagger_object(
        self, field: Any, swagger_object_type: Any, use_references: bool, **kwargs: Any
    ) -> Any:
        """A reference cannot say more than whom it refers to, so what else there is goes around."""
        found = super().field_to_swagger_object(
            field, swagger_object_type, use_references, **kwargs
        )
        if not isinstance(found, openapi.SchemaRef) or isinstance(
            field.parent, serializers.ListSerializer
        ):
            return found
        around: dict[str, Any] = {}
        if field.help_text:
            around["description"] = str(field.help_text)
        if field.allow_null:
            around["x_nullable"] = True
        return openapi.Schema(type="object", allOf=[found], **around) if around else found


def _is_always_there(field: serializers.Field) -> bool:
    return bool(field.required or field.read_only or field.default is not empty)


class TextInspector(SimpleFieldInspector):
    """Texts and other simple types; in an answer a text may be empty."""

    def field_to_swagger_object(
        self, field: Any, swagger_object_type: Any, use_references: bool, **kwargs: Any
    ) -> Any:
        found = super().field_to_swagger_object(
            field, swagger_object_type, use_references, **kwargs
        )
        if found is NotHandled:
            return found
        if isinstance(field, serializers.CharField) and not isinstance(field, Text):
            found.pop("minLength", None)
        if pattern := found.get("pattern"):
            found["pattern"] = pattern.replace(r"\Z", "$")  # as ECMA-262 writes it
        return found


class NumberInspector(FieldInspector):
    """Cores and seconds, which are JSON numbers, sizes in MiB, and ids in bodies."""

    def field_to_swagger_object(
        self, field: Any, swagger_object_type: Any, use_references: bool, **kwargs: Any
    ) -> Any:
        make, _ = self._get_partial_types(field, swagger_object_type, use_references, **kwargs)
        if isinstance(field, Thousandths):
            least, most = field.min_milli / MILLI, field.max_milli / MILLI
            made = make(type=openapi.TYPE_NUMBER, minimum=least, maximum=most)
            return _with_texts(made, field, "500m") if isinstance(field, Cores) else made
        if isinstance(field, Mebibytes):
            least, most = field.min_value or 0, field.max_value or 0
            made = make(type=openapi.TYPE_INTEGER, minimum=least, maximum=most)
            return _with_texts(made, field, "16Gi")
        if isinstance(field, WholeNumberOr):
            return make(
                type=openapi.TYPE_INTEGER,
                minimum=0,
                maximum=field.most,
                x_also=field.word,
            )
        if isinstance(field, ShownNumberOr):
            return make(type=openapi.TYPE_INTEGER, x_also=field.word)
        if isinstance(field, Deadline):
            made = make(type=openapi.TYPE_INTEGER, minimum=1, maximum=field.MOST_S)
            return _with_texts(made, field, "2026-03-01T18:00:00Z", "a moment with its offset")
        if isinstance(field, ShownThousandths | ShownSeconds):
            return make(type=openapi.TYPE_NUMBER)
        if isinstance(field, Reference):
            return make(type=openapi.TYPE_STRING, maxLength=field.LONGEST)
        return NotHandled


def _with_texts(
    made: Any, field: Cores | Mebibytes | Deadline, example: str, what: str = "a text with a unit"
) -> Any:
    """Says that texts are taken beside numbers, for which Swagger 2.0 has no words."""
    shown = f'Or {what}, such as "{example}".'
    made["description"] = f"{field.help_text} {shown}" if field.help_text else shown
    made["x-text-pattern"] = field.PATTERN
    return made


class MapInspector(DictFieldInspector):
    """Objects with keys of any name; without a child, also with values of any type."""

    def field_to_swagger_object(
        self, field: Any, swagger_object_type: Any, use_references: bool, **kwargs: Any
    ) -> Any:
        if isinstance(field, serializers.DictField) and isinstance(field.child, _UnvalidatedField):
            make, _ = self._get_partial_types(field, swagger_object_type, use_references, **kwargs)
            return make(type=openapi.TYPE_OBJECT, additional_properties=True)
        return super().field_to_swagger_object(field, swagger_object_type, use_references, **kwargs)


INSPECTORS = [
    NumberInspector,
    MapInspector,
    SerializerInspector,
    TextInspector,
]
"""Asked in this order, before drf-yasg's own."""
