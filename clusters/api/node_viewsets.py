"""The node calls: parse, call one service or query, answer."""

from collections.abc import Callable
from uuid import UUID

from drf_yasg import openapi
from drf_yasg.utils import swagger_auto_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.api.callers import caller
from clusters import queries
from clusters.api.node_serializers import ChangeNodeSerializer, NewNodeSerializer, NodeSerializer
from clusters.models import Node
from clusters.services import attach, nodes
from mlops_platform.api.requests import body_of, flag_of, query_of
from mlops_platform.api.schema import error
from mlops_platform.api.serializers import NothingSerializer
from organizations.models import Role

DRAIN = openapi.Parameter(
    "drain",
    openapi.IN_QUERY,
    type=openapi.TYPE_BOOLEAN,
    description="Where it holds anything, drain it first: done as soon as it is empty.",
)
POOL_IN_USE = error(
    "The pool is in use, name taken, or too many nodes",
    "cluster_in_use",
    "4 CPU cores, 8192 MiB of RAM, 2 GPUs are allocated in the pool, and no node: set the cluster's"
    " state to DRAINING, add its nodes once it is empty, and set it to ACTIVE again.",
)
BELOW_ALLOCATED = error(
    "Below what is allocated, or name taken",
    "below_allocated",
    "GPUs: 6 allocated on node-1, so it cannot have 4; with ?drain=true it is drained first.",
)
IN_USE = error(
    "Still in use",
    "node_in_use",
    "4 CPU cores, 8192 MiB of RAM, 2 GPUs are allocated on node-1: drain it first, or delete it"
    " with ?drain=true.",
)


class NodeViewSet(GenericViewSet):
    queryset = Node.objects.none()

    @swagger_auto_schema(
        operation_summary="The nodes of a cluster",
        operation_description="None: the cluster is one pool of its totals.",
        tags=["nodes"],
        responses={200: NodeSerializer(many=True)},
    )
    def list(self, request: Request, cluster_id: UUID) -> Response:
        query_of(request)
        cluster = queries.cluster_for(caller(request), cluster_id)
        page = self.paginate_queryset(queries.nodes_in(cluster))
        return self.get_paginated_response(NodeSerializer(page, many=True).data)

    @swagger_auto_schema(
        operation_summary="Add a node",
        operation_description=(
            "The cluster's totals are the sum of its nodes from then on, and a replica must fit on "
            "one of them. The first node can be added while nothing is allocated.\n\n"
            "In a docker cluster it is a Docker engine, and `endpoint` says how to reach it; sizes "
            "that are left out are told by the engine. It is NOT_READY until it has answered. In a "
            "kubernetes cluster nodes are discovered, and none can be added."
        ),
        tags=["nodes"],
        request_body=NewNodeSerializer,
        responses={201: NodeSerializer, 409: POOL_IN_USE},
    )
    def create(self, request: Request, cluster_id: UUID) -> Response:
        cluster = queries.cluster_for(caller(request), cluster_id, Role.ADMIN)
        node = attach.add_node(cluster, body_of(request, NewNodeSerializer))
        return Response(NodeSerializer(node).data, status=201)

    @swagger_auto_schema(
        operation_summary="One node, with what is free on it",
        tags=["nodes"],
        responses={200: NodeSerializer},
    )
    def retrieve(self, request: Request, cluster_id: UUID, node_id: UUID) -> Response:
        node = queries.node_for(caller(request), cluster_id, node_id)
        return Response(NodeSerializer(node).data)

    @swagger_auto_schema(
        operation_summary="Change a node's name, labels or sizes",
        operation_description=(
            "What is not given stays as it is. Sizes below what is allocated are refused or, with "
            "`?drain=true`, wait in `pending` until a drain has emptied the node; then it is as "
            "open as it was before. `endpoint` is replaced as a whole."
        ),
        tags=["nodes"],
        manual_parameters=[DRAIN],
        request_body=ChangeNodeSerializer,
        responses={200: NodeSerializer, 409: BELOW_ALLOCATED},
    )
    def partial_update(self, request: Request, cluster_id: UUID, node_id: UUID) -> Response:
        node = _writable(request, cluster_id, node_id)
        drain = flag_of(request, "drain")
        changed = attach.change_node(node, body_of(request, ChangeNodeSerializer), drain=drain)
        return Response(NodeSerializer(changed).data)

    @swagger_auto_schema(
        operation_summary="Delete a node",
        operation_description=(
            "After the last one a simulated cluster is a pool again, with the totals that it had; "
            "any other has nothing. Its endpoint, with its credentials, goes with it."
        ),
        tags=["nodes"],
        manual_parameters=[DRAIN],
        responses={
            202: openapi.Response("Drained first, and gone once it is empty", NodeSerializer),
            204: "Gone",
            409: IN_USE,
        },
    )
    def destroy(self, request: Request, cluster_id: UUID, node_id: UUID) -> Response:
        node = _writable(request, cluster_id, node_id)
        leaving = attach.delete_node(node, drain=flag_of(request, "drain"))
        if leaving is None:
            return Response(status=204)
        return Response(NodeSerializer(leaving).data, status=202)

    @swagger_auto_schema(
        operation_summary="Take nobody new",
        operation_description="What runs there goes on. Calls off a drain, and what it was for.",
        tags=["nodes"],
        request_body=NothingSerializer,
        responses={200: NodeSerializer},
    )
    def cordon(self, request: Request, cluster_id: UUID, node_id: UUID) -> Response:
        return _set(nodes.cordon, request, cluster_id, node_id)

    @swagger_auto_schema(
        operation_summary="Open it again",
        operation_description="Calls off a drain, and what it was for.",
        tags=["nodes"],
        request_body=NothingSerializer,
        responses={200: NodeSerializer},
    )
    def uncordon(self, request: Request, cluster_id: UUID, node_id: UUID) -> Response:
        return _set(nodes.uncordon, request, cluster_id, node_id)

    @swagger_auto_schema(
        operation_summary="Empty it",
        operation_description=(
            "What runs there goes back to the queue with the reason NODE_DRAINED and its old place "
            "in it; that counts as no preemption and no failure. It stays closed until uncordoned."
        ),
        tags=["nodes"],
        request_body=NothingSerializer,
        responses={200: NodeSerializer},
    )
    def drain(self, request: Request, cluster_id: UUID, node_id: UUID) -> Response:
        return _set(nodes.drain, request, cluster_id, node_id)


def _set(
    change: Callable[[Node], Node], request: Request, cluster_id: UUID, node_id: UUID
) -> Response:
    node = _writable(request, cluster_id, node_id)
    body_of(request, NothingSerializer)
    return Response(NodeSerializer(change(node)).data)


def _writable(request: Request, cluster_id: UUID, node_id: UUID) -> Node:
    return queries.node_for(caller(request), cluster_id, node_id, Role.ADMIN)
