"""The serializer base of every request body."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers


class StrictSerializer(serializers.Serializer):
    """Refuses fields that it does not know: a misspelt option must not be silently ignored."""

    def to_internal_value(self, data: Any) -> Any:
        faults: dict[str, list[str]] = {}
        if isinstance(data, dict):
            for name in data:
                if name not in self.fields or self.fields[name].read_only:
                    faults[str(name)[:100]] = ["Unknown field."]
        try:
            value = super().to_internal_value(data)
        except serializers.ValidationError as error:
            if isinstance(error.detail, dict):
                raise serializers.ValidationError({**error.detail, **faults}) from None
            raise
        if faults:
            raise serializers.ValidationError(faults)
        return value


class EmptySerializer(StrictSerializer):
    """A call that takes no body, or an empty object."""

    class Meta:
        ref_name = "Nothing"
        swagger_schema_fields: Mapping[str, Any] = {"example": {}}
