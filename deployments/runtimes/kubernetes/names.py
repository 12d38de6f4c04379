"""Names and labels of the platform's objects in a Kubernetes cluster."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from deployments.runtimes.base import Key

Json = dict[str, Any]  # an object of the API, as it is written there

CONTAINER = "main"  # the replica's own container in a Pod; others may be injected

PREFIX = "mlops-platform/"
CLUSTER = f"{PREFIX}cluster"
DEPLOYMENT = f"{PREFIX}deployment"
ATTEMPT = f"{PREFIX}attempt"
REPLICA = f"{PREFIX}replica"
FINALIZER = f"{PREFIX}output"  # keeps an ended Pod until its exit code and output are read
GATE = f"{PREFIX}secrets"  # keeps a Pod from its node until its secrets are there
IDENTITY = frozenset({CLUSTER, DEPLOYMENT, ATTEMPT, REPLICA})

_OUTSIDE_LABELS = re.compile(r"[^A-Za-z0-9_.-]+")
_LABEL_EDGES = "_.-"  # a label begins and ends with a letter or a digit
_LONGEST_LABEL = 63


def pod_name(key: Key) -> str:
    """The same name for the same replica, so that its Pod can be created only once."""
    return f"mlops-{key.deployment_id}-{key.attempt}-{key.replica}"


def secret_name(cluster_id: str) -> str:
    return f"mlops-{cluster_id}-registries"


def volume_claim_name(cluster_id: str, volume: str) -> str:
    """Of the claim that the platform makes for a cluster's volume."""
    return f"mlops-{cluster_id}-{volume}"


def identity(cluster_id: str, key: Key) -> dict[str, str]:
    return {
        CLUSTER: cluster_id,
        DEPLOYMENT: key.deployment_id,
        ATTEMPT: str(key.attempt),
        REPLICA: str(key.replica),
    }


def key_of(pod: Json) -> Key | None:
    """The replica that the Pod's labels name; None if they name none."""
    labels = labels_of(pod)
    try:
        return Key(labels[DEPLOYMENT], int(labels[ATTEMPT]), int(labels[REPLICA]))
    except (KeyError, ValueError):
        return None


def main_status(status: Json) -> Json:
    """The status of the replica's own container, of those in a Pod's status."""
    for each in status.get("containerStatuses") or ():
        if each.get("name") == CONTAINER:
            return dict(each)
    return {}


def labels_of(thing: Json) -> Mapping[str, str]:
    labels: Mapping[str, str] = thing["metadata"].get("labels") or {}
    return labels


def selector(cluster_id: str, deployment_ids: Collection[str] = ()) -> str:
    """Selects this cluster's Pods, or those of some of its deployments."""
    cluster = f"{CLUSTER}={cluster_id}"
    return f"{cluster},{DEPLOYMENT} in ({','.join(deployment_ids)})" if deployment_ids else cluster


def for_people(given: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Labels to select by, cut to the syntax of labels, and annotations with what was cut.

    All names have the platform's prefix, so that they mean nothing to other programs.
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
    """As much of the text as a label can have."""
    return _OUTSIDE_LABELS.sub("-", text).strip(_LABEL_EDGES)[:_LONGEST_LABEL].rstrip(_LABEL_EDGES)
