"""How a replica finds the others of its gang: the answer, and the query string that asks."""

from collections.abc import Mapping
from typing import Any

from drf_yasg import openapi
from rest_framework import serializers
from rest_framework.request import Request

from deployments.models import Deployment
from deployments.queries.peers import network_of, peers_of, why_unreachable
from mlops_platform.api.errors import Invalid
from mlops_platform.api.requests import query_of
from mlops_platform.api.schema import parameter

MOST_REPLICAS = 1000
PARAMETERS = [
    parameter(
        "replica",
        openapi.TYPE_INTEGER,
        "From 0, which is the default.",
        minimum=0,
        maximum=MOST_REPLICAS - 1,
    )
]


class PeersSerializer(serializers.Serializer):
    replica = serializers.IntegerField()
    name = serializers.CharField(
        allow_null=True, help_text="Resolves to the replica; null where nothing does."
    )
    variables = serializers.DictField(
        child=serializers.CharField(),
        help_text="Those that the platform sets, without those that its `env` replaces.",
    )
    hostfile = serializers.CharField(allow_null=True)
    unreachable = serializers.CharField(
        allow_null=True, help_text="Why no network connects the replicas."
    )

    class Meta:
        swagger_schema_fields: Mapping[str, Any] = {
            "example": {
                "replica": 1,
                "name": "replica-1.mlops-0199d1c4-5e21-7b6f-9d0a-41c2f7a8b305-1",
                "variables": {"RANK": "1", "WORLD_SIZE": "2", "MASTER_PORT": "29500"},
                "hostfile": "replica-0.mlops-0199d1c4-5e21-7b6f-9d0a-41c2f7a8b305-1 slots=1\n",
                "unreachable": None,
            }
        }


def present_peers(deployment: Deployment, request: Request) -> dict[str, Any]:
    """One query, for the cluster's sandbox. 400 for a replica that does not exist."""
    replica = _replica(deployment, request)
    cluster = deployment.cluster
    network = network_of(cluster)
    peers = peers_of(deployment, cluster, network)
    found: dict[str, Any] = {"replica": replica, "name": None, "variables": {}, "hostfile": None}
    if peers is not None:
        variables = peers.env_of(replica, {})
        for name in deployment.env_names:
            variables.pop(name, None)
        found["variables"] = variables
        if peers.reachable:
            found |= {"name": peers.name(replica), "hostfile": peers.hostfile}
    found["unreachable"] = why_unreachable(deployment, cluster, network) or None
    return dict(PeersSerializer(found).data)


def _replica(deployment: Deployment, request: Request) -> int:
    text = query_of(request, ["replica"]).get("replica", "0")
    if not (text.isascii() and text.isdigit() and int(text[:20]) < MOST_REPLICAS):
        raise Invalid({"replica": f"A whole number from 0 to {MOST_REPLICAS - 1}."})
    if int(text) >= deployment.replicas:
        raise Invalid({"replica": f"Below {deployment.replicas}: they are counted from 0."})
    return int(text)
