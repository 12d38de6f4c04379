"""What our objects are called, and the labels by which we know them again."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from deployments.runtimes.base import Key

Json = dict[str, Any]  # an object of the API, as it is written there

CONTAINER = "main"  # of a Pod's containers the one that is ours; others may be injected

PREFIX = "mlops-platform/"
CLUSTER = f"{PREFIX}cluster"
DEPLOYMENT = f"{PREFIX}deployment"
ATTEMPT = f"{PREFIX}attempt"
REPLICA = f"{PREFIX}replica"
IDENTITY = frozenset({CLUSTER, DEPLOYMENT, ATTEMPT, REPLICA})

_OUTSIDE_LABELS = re.compile(r"[^A-Za-z0-9_.-]+")
_LABEL_EDGES = "_.-"  # a label begins and ends with a letter or a digit
_LONGEST_LABEL = 63


def pod_name(key: Key) -> str:
    """The same for the same replica, so that it can be created once only."""
    return f"mlops-{key.deployment_id}-{key.attempt}-{key.replica}"


def secret_name(cluster_id: str) -> str:
    return f"mlops-{cluster_id}-registries"


def identity(cluster_id: str, key: Key) -> dict[str, str]:
    return {
        CLUSTER: cluster_id,
        DEPLOYMENT: key.deployment_id,
        ATTEMPT: str(key.attempt),
        REPLICA: str(key.replica),
    }


def key_of(pod: Json) -> Key | None:
    """Whose Pod it is, as its labels say; None where they say nothing of the kind."""
    labels = labels_of(pod)
    try:
        return Key(labels[DEPLOYMENT], int(labels[ATTEMPT]), int(labels[REPLICA]))
    except (KeyError, ValueError):
        return None


def labels_of(thing: Json) -> Mapping[str, str]:
    labels: Mapping[str, str] = thing["metadata"].get("labels") or {}
    return labels


def selector(cluster_id: str, deployment_ids: Collection[str] = ()) -> str:
    """Selects this cluster's Pods, or those of some of its deployments."""
    ours = f"{CLUSTER}={cluster_id}"
    return f"{ours},{DEPLOYMENT} in ({','.join(deployment_ids)})" if deployment_ids else ours


def for_people(given: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Labels and annotations: to select by, as far as the syntax goes, and to read, in full.

    All of them are in our own corner of the names, so that they never mean anything to others.
    """
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    for key, value in given.items():
        name = _fit(key.removeprefix(PREFIX))
        if not name or f"{PREFIX}{name}" in IDENTITY:
            continue
        labels[f"{PREFIX}{name}"] = _fit(value)
        if labels[f"{PREFIX}{name}"] != value:
            annotations[f"{PREFIX}{name}"] = value
    return labels, annotations


def _fit(text: str) -> str:
    """As much of it as a label can hold."""
    return _OUTSIDE_LABELS.sub("-", text).strip(_LABEL_EDGES)[:_LONGEST_LABEL].rstrip(_LABEL_EDGES)
