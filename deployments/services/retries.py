"""Checks what a submit says of its retries."""

from collections.abc import Mapping
from typing import Any

from deployments.models import Kind
from mlops_platform.api.errors import Invalid


def checked(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The rules that are given; 400 for what could never count."""
    rules = {name: value for name, value in spec.get("retry", {}).items() if value is not None}
    if not rules:
        return rules
    if spec.get("kind") != Kind.SERVICE and not spec.get("max_retries"):
        for name, field in (("on", "retry_on"), ("ram_factor_milli", "retry_ram_factor")):
            if name in rules:
                raise Invalid({field: "max_retries is 0: nothing is tried again."})
    if "ram_factor_milli" in rules and "ram_limit_mib" not in rules:
        raise Invalid({"retry_ram_limit": "Required with retry_ram_factor."})
    if "ram_limit_mib" in rules and "ram_factor_milli" not in rules:
        raise Invalid({"retry_ram_factor": "Required with retry_ram_limit."})
    if rules.get("ram_limit_mib", spec["ram_mib"] + 1) <= spec["ram_mib"]:
        raise Invalid({"retry_ram_limit": "It must be more than required_ram."})
    return rules
