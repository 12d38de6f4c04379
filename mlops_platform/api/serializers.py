"""The serializer base of every request body."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from rest_framework import serializers

from mlops_platform.api.errors import LONGEST_NAME, MOST_FAULTS


class StrictSerializer(serializers.Serializer):
    """Refuses fields that it does not know: a misspelt option must not be silently ignored.

    A body with very many of them is refused before any field is read.
    """

    def to_internal_value(self, data: Any) -> Any:
        faults: dict[str, list[str]] = {}
        if isinstance(data, dict):
            known = self.fields
            unknown = (name for name in data if name not in known or known[name].read_only)
            for name in islice(unknown, MOST_FAULTS + 1):  # one more: some are not named
                faults[str(name)[:LONGEST_NAME]] = ["Unknown field."]
        if len(faults) > MOST_FAULTS:
            raise serializers.ValidationError(faults)
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
