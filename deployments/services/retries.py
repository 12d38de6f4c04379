"""Checks what a submit says of its retries."""

from collections.abc import Mapping
from typing import Any

from deployments.models import Kind
from mlops_platform.api.errors import Invalid


def refuse_useless(spec: Mapping[str, Any], rules: Mapping[str, Any]) -> None:
    """400 for rules that could never count."""
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
