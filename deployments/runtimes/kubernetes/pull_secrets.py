"""Keeps one Secret with the credentials with which kubelets pull images."""

import json
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256

from deployments.runtimes.base import Registry, RuntimeUnavailable
from deployments.runtimes.kubernetes.api import TRIES, Api, Refusal
from deployments.runtimes.kubernetes.names import CLUSTER, PREFIX, Json, secret_name

DIGEST = f"{PREFIX}digest"


def pull_secret(cluster_id: str, registries: Sequence[Registry]) -> Json:
    content = json.dumps({"auths": {each.host: _login(each) for each in registries}})
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/dockerconfigjson",
        "metadata": {
            "name": secret_name(cluster_id),
            "labels": {CLUSTER: cluster_id},
            "annotations": {DIGEST: sha256(content.encode()).hexdigest()},
        },
        "data": {".dockerconfigjson": b64encode(content.encode()).decode()},
    }


def ensure(api: Api, namespace: str, secret: Json) -> None:
    """Create the Secret, or replace one with other content; tolerates other workers doing so."""
    name = secret["metadata"]["name"]
    for _ in range(TRIES):
        existing = _read(api, name, namespace)
        try:
            if existing is None:
                api.call("create_namespaced_secret", namespace, secret)
            elif _digest(existing) != _digest(secret):
                version = existing["metadata"]["resourceVersion"]
                metadata = {**secret["metadata"], "resourceVersion": version}
                replacement = {**secret, "metadata": metadata}
                api.call("replace_namespaced_secret", name, namespace, replacement)
            return
        except Refusal as refusal:
            # Another worker has written it (409) or removed it (404): read again.
            if refusal.status not in {404, 409}:
                raise
    raise RuntimeUnavailable("The Secret for pulling images cannot be kept up to date.")


def remove(api: Api, namespace: str, cluster_id: str) -> None:
    """Delete the Secret; it stays if the account may not delete it."""
    try:
        api.call("delete_namespaced_secret", secret_name(cluster_id), namespace)
    except Refusal as refusal:
        if refusal.status not in {403, 404}:
            raise


def _read(api: Api, name: str, namespace: str) -> Json | None:
    try:
        return api.call("read_namespaced_secret", name, namespace)
    except Refusal as refusal:
        if refusal.status == 404:
            return None
        raise


def _digest(secret: Json) -> str | None:
    annotations: dict[str, str] = secret["metadata"].get("annotations") or {}
    return annotations.get(DIGEST)


def _login(registry: Registry) -> Json:
    both = f"{registry.username}:{registry.password}"
    return {
        "username": registry.username,
        "password": registry.password,
        "auth": b64encode(both.encode()).decode(),
    }
