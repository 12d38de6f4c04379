"""The serializer base of every request body."""

from collections.abc import Mapping
from functools import cached_property
from itertools import islice
from typing import Any

from rest_framework import serializers

from mlops_platform.api.errors import LONGEST_NAME, MOST_FAULTS


class StrictSerializer(serializers.Serializer):
    """Refuses fields that it does not know: a misspelt option must not be silently ignored.

    A body with very many of them is refused before any field is read.
    """

    def to_internal_value(self, data: Any) -> Any:
        faults = self._unknown(data) if isinstance(data, dict) else {}
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

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(name for name, each in self.fields.items() if not each.read_only)

    def _unknown(self, data: Mapping[str, Any]) -> dict[str, list[str]]:
        """A fault for each name that is no field, and for one more than an answer names."""
        names = (name for name in data if name not in self._known)
        first = islice(names, MOST_FAULTS + 1)
        return {str(name)[:LONGEST_NAME]: ["Unknown field."] for name in first}


class EmptySerializer(StrictSerializer):
    """A call that takes no body, or an empty object."""

    class Meta:
        ref_name = "Nothing"
        swagger_schema_fields: Mapping[str, Any] = {"example": {}}
