"""What Swagger says of the cluster, node and registry calls."""

from drf_yasg import openapi

from clusters.api.drain_serializers import DrainedNodeSerializer
from clusters.api.node_serializers import NodeSerializer
from clusters.api.serializers import ClusterSerializer
from mlops_platform.api.schema import Doc, error, not_there, parameter

FORCE = parameter("force", openapi.TYPE_BOOLEAN, "Also stop and delete what waits or runs there.")
NO_ORGANIZATION = not_there("No such organization, or not yours")
NAME_TAKEN = error(
    "Name taken, or `full`: as many clusters as allowed",
    "name_taken",
    "The organization has a cluster named 'gpu-west' already.",
)
TOTAL_BELOW_ALLOCATED = error(
    "Below what is allocated, or name taken",
    "below_allocated",
    "GPUs: 6 allocated, so the total cannot be 4.",
)
CLUSTER_IN_USE = error(
    "Still in use",
    "cluster_in_use",
    "3 deployments wait or run here: stop them first, or delete with ?force=true.",
)

CLUSTERS = {
    "create": Doc("clusters", "Create a cluster", answers={404: NO_ORGANIZATION, 409: NAME_TAKEN}),
    "list": Doc("clusters", "The clusters of your organizations"),
    "retrieve": Doc("clusters", "One cluster, with what is free of it"),
    "partial_update": Doc(
        "clusters",
        "Change a cluster's name, totals, policy or state",
        "What is not given stays as it is.",
        answers={409: TOTAL_BELOW_ALLOCATED},
    ),
    "destroy": Doc(
        "clusters",
        "Delete a cluster with its history",
        "204 where all of it is gone, 202 where its history is still being deleted: no user sees "
        "it any more, and its name is free. Where containers run in it, `?force=true` stops them "
        "first: 202 too, and it is shown as DELETING until then.",
        parameters=[FORCE],
        answers={
            202: openapi.Response(
                "Gone but for its history, or once what runs there has been stopped",
                ClusterSerializer,
            ),
            204: "Gone",
            409: CLUSTER_IN_USE,
        },
    ),
}

DRAIN = parameter(
    "drain",
    openapi.TYPE_BOOLEAN,
    "Where anything is allocated on it, drain it first: done as soon as it is empty.",
)
POOL_IN_USE = error(
    "The pool is in use, name taken, or too many nodes",
    "cluster_in_use",
    "4 CPU cores, 8192 MiB of RAM, 2 GPUs are allocated in the pool, and no node: set the cluster's"
    " state to DRAINING, add its nodes once it is empty, and set it to ACTIVE again.",
)
SIZE_BELOW_ALLOCATED = error(
    "Below what is allocated, or name taken",
    "below_allocated",
    "GPUs: 6 allocated on node-1, so it cannot have 4; with ?drain=true it is drained first.",
)
NODE_IN_USE = error(
    "Still in use",
    "node_in_use",
    "4 CPU cores, 8192 MiB of RAM, 2 GPUs are allocated on node-1: drain it first, or delete it"
    " with ?drain=true.",
)

NODES = {
    "list": Doc("nodes", "The nodes of a cluster", "None: the cluster is one pool of its totals."),
    "create": Doc(
        "nodes",
        "Add a node",
        "The cluster's totals are the sum of its nodes from then on, and a replica must fit on "
        "one of them. The first node can be added while nothing is allocated.\n\n"
        "In a docker cluster it is a Docker engine, and `endpoint` says how to reach it; sizes "
        "that are left out come from the engine. It is NOT_READY until it has answered. In a "
        "kubernetes cluster nodes are discovered, and none can be added.",
        answers={409: POOL_IN_USE},
    ),
    "retrieve": Doc("nodes", "One node, with what is free on it"),
    "partial_update": Doc(
        "nodes",
        "Change a node's name, labels or sizes",
        "What is not given stays as it is. Sizes below what is allocated are refused or, with "
        "`?drain=true`, wait in `pending` until a drain has emptied the node; then it is as "
        "open as it was before. `endpoint` is replaced as a whole.",
        parameters=[DRAIN],
        answers={409: SIZE_BELOW_ALLOCATED},
    ),
    "destroy": Doc(
        "nodes",
        "Delete a node",
        "After the last one a simulated cluster is a pool again, with the totals that it had; "
        "any other has nothing. Its endpoint, with its credentials, goes with it.",
        parameters=[DRAIN],
        answers={
            202: openapi.Response("Drained first, and gone once it is empty", NodeSerializer),
            204: "Gone",
            409: NODE_IN_USE,
        },
    ),
    "cordon": Doc(
        "nodes",
        "Cordon a node: nothing new starts on it",
        "What runs there goes on. Calls off a drain, and what it was for.",
    ),
    "uncordon": Doc("nodes", "Open it again", "Calls off a drain, and what it was for."),
    "drain": Doc(
        "nodes",
        "Empty it",
        "Nothing new starts there. What runs there leaves by the `mode`, and at the `deadline` at "
        "the latest: it goes back to the queue with the reason NODE_DRAINED and its old place in "
        "it; that counts as no preemption and no failure. Once the node is empty it is DRAINED, "
        "until it is uncordoned. A second drain takes the place of one under way.",
        answers={200: openapi.Response("The node", DrainedNodeSerializer)},
    ),
}

SIMULATED = error(
    "A simulated cluster, or too many", "simulated", "A simulated cluster pulls no images."
)

REGISTRIES = {
    "list": Doc(
        "clusters",
        "The registries that a cluster has credentials for",
        "For ADMINs. Passwords are never shown.",
    ),
    "create": Doc(
        "clusters",
        "Give credentials for a registry",
        "They are used for images whose reference begins with the host, in docker and "
        "kubernetes clusters. Those that there are for the same host are replaced, user name "
        "and password, and keep their id.",
        answers={409: SIMULATED},
    ),
    "destroy": Doc(
        "clusters",
        "Forget the credentials for a registry",
        "What has been pulled with them stays on the nodes.",
    ),
}
