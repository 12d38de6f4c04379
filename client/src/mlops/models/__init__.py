"""The records of the API, by what they are about. Each annotation is a field of the API's document.

All modules are imported, for a record converts its fields to the kinds that its annotations name.
"""

from mlops.models import (
    accounting,
    answers,
    clusters,
    deployments,
    organizations,
    reasons,
    sweeps,
    webhooks,
)

__all__ = [
    "accounting",
    "answers",
    "clusters",
    "deployments",
    "organizations",
    "reasons",
    "sweeps",
    "webhooks",
]
