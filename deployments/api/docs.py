"""What Swagger says of the deployment and quota calls."""

from drf_yasg import openapi

from clusters.api.quota_serializers import QuotaSerializer
from clusters.services.quotas import LIMITS, NEEDS_A_LIMIT
from deployments.api import headers
from deployments.api.feed import following
from deployments.api.finding.totals import CountsSerializer
from deployments.api.log_parameters import PARAMETERS as LOG_PARAMETERS
from deployments.api.peers import PARAMETERS as PEERS_PARAMETERS
from deployments.api.peers import PeersSerializer
from deployments.api.representation import (
    ListedDeploymentSerializer,
)
from deployments.api.steering.actions import ActionAnswerSerializer
from deployments.api.warnings import SubmittedSerializer
from deployments.output import missing
from deployments.output.kept import KeptWithoutTimes
from mlops_platform.api.errors import FAULTY, NOT_FOUND
from mlops_platform.api.schema import AMBIGUOUS, Doc, error, not_there
from mlops_platform.api.schema.texts import header

NO_CLUSTER = not_there("No such cluster, or not yours")
REFUSED_SUBMIT = error(
    "`idempotency_key_reused`: the key came with another body. `quote_stale`: the cluster has "
    "changed since the quote, or it has expired. `quote_mismatch`: the quote was for another user "
    "or body. `dependency_failed`: a dependency will never complete. `cluster_deleting`: the "
    "cluster is being deleted. `queue_full`: as many are queued in the cluster as may be, or of "
    "yours",
    "idempotency_key_reused",
    "This Idempotency-Key came with another body before.",
)
REFUSED_BULK = error(
    "`idempotency_key_reused`: the key came with another body. `dependency_failed`: a dependency "
    "will never complete. `cluster_deleting`: a cluster is being deleted. `queue_full`: more would "
    "be queued in a cluster than may be, or of yours",
    "idempotency_key_reused",
    "This Idempotency-Key came with another body before.",
)
NOT_QUEUED = error(
    "Too late for that",
    "not_queued",
    "What it asks for, and runs, can change only while it is QUEUED; it is RUNNING.",
)
NOT_OWNER = error(
    "Role too low; or `not_owner`: it has an environment, or secrets of a person, and only its "
    "owner may say what runs with them",
    "not_owner",
    "It has an environment: only its owner may say what runs with it. Submit one of your own.",
)
NOT_RUNNING = error("Not running", "not_running", "Only what runs can report a checkpoint.")
FAULTY_ITEMS = error(
    "Malformed or invalid; every item at fault is named by its number, from 0",
    "invalid",
    FAULTY,
    deployments={"3": {"required_gpu": ["A valid integer is required."]}},
)
NO_CLUSTER_OF_ITEMS = not_there(
    "No such cluster, or not yours", deployments={"3": {"cluster_id": [NOT_FOUND]}}
)
TOO_LOW = "This needs the role DEVELOPER; yours is VIEWER."
TOO_LOW_FOR_ITEMS = error(
    "Role too low",
    "permission_denied",
    TOO_LOW,
    deployments={"3": {"cluster_id": [TOO_LOW]}},
)
TEXT = openapi.Response(
    "Plain text; without a byte where there is none, and then a header says why",
    openapi.Schema(type="string"),
    {"text/plain": "epoch 1\nepoch 2\n"},
    headers={
        missing.CODE: header("string", f"Why there is none: {', '.join(missing.Code)}."),
        missing.DETAIL: header("string", "The same as a sentence."),
    },
)
TOO_MANY_READERS = error(
    "Too many read logs just now",
    "throttled",
    "You, or others, follow too many logs just now. Expected available in 10 seconds.",
)
NO_TIMES = error(
    "An earlier version kept this output, without the times that `timestamps` and `until` need",
    KeptWithoutTimes.default_code,
    KeptWithoutTimes.default_detail,
)
ENDPOINT_AWAY = error(
    "`endpoint_unavailable`: its node does not answer. `output_unavailable`: no worker reads "
    "output just now, or all are busy, or Redis is away or full. Or the database is away",
    "endpoint_unavailable",
    "node-1 does not answer.",
)

FOLLOW = (
    "With `updated_after`, those that have changed since that cursor, each as it is now, in the "
    "order of their changes: follow with it, not with `created_after`, which compares times."
)
CHANGED = {
    200: openapi.Response(
        "A page", ListedDeploymentSerializer(many=True), headers=dict(following.LIST_HEADERS)
    ),
    410: following.EXPIRED,
}

COUNTS = Doc(
    "deployments",
    "How many there are in each status",
    "Of those that the filters leave; the filters are those of the list.",
    answers={200: CountsSerializer},
)

DEPLOYMENTS = {
    "create": Doc(
        "deployments",
        "Submit a deployment",
        operation_id="deployments_submit",
        parameters=[headers.PARAMETER],
        answers={201: SubmittedSerializer, 404: NO_CLUSTER, 409: REFUSED_SUBMIT},
    ),
    "bulk": Doc(
        "deployments",
        "Submit many deployments: all of them, or none",
        "Up to 1,000, each the body of a submit without `quote`, in any clusters where you may "
        "submit. Answers them in the order given. With an `Idempotency-Key` the whole is "
        "repeated safely. Refused items are listed under `fields` by their numbers.",
        operation_id="deployments_submit_bulk",
        parameters=[headers.PARAMETER],
        answers={
            201: SubmittedSerializer(many=True),
            400: FAULTY_ITEMS,
            403: TOO_LOW_FOR_ITEMS,
            404: NO_CLUSTER_OF_ITEMS,
            409: REFUSED_BULK,
        },
    ),
    "list": Doc(
        "deployments",
        "The deployments of your organizations",
        FOLLOW,
        answers={**CHANGED, 409: AMBIGUOUS},
    ),
    "counts": COUNTS,
    "retrieve": Doc("deployments", "One deployment: its state, and why it waits"),
    "partial_update": Doc(
        "deployments",
        "Change its name, labels, priority, request or program",
        "Name and labels at any time, the priority until it ends, the request, the time limit and "
        "what runs while it is QUEUED. What runs with an environment, or with a person's secrets, "
        "its owner alone changes.",
        answers={403: NOT_OWNER, 409: NOT_QUEUED},
    ),
    "stop": Doc("deployments", "Stop it", "Stopping twice is fine."),
    "rerun": Doc(
        "deployments",
        "Submit it again, with what you change",
        "A new deployment of yours that asks for the same, environment included, but for the "
        "fields of the body; of `env` the variables that it names. It depends on what has not "
        "completed. Secrets of a person are your own. Where its environment is another user's you "
        "may change nothing of what runs, nor of its own reruns.",
        operation_id="deployments_rerun",
        parameters=[headers.PARAMETER],
        answers={201: SubmittedSerializer, 403: NOT_OWNER, 409: REFUSED_SUBMIT},
    ),
    "actions": Doc(
        "deployments",
        "Stop many, give them a priority, or submit them again",
        "By ids or by the filters of a list; with `dry_run` it answers what it would do. Each "
        "deployment is done whole or not at all, and what is refused keeps no other from being "
        "done: your role may be too low, it may have ended, its cluster may be busy (`busy`: try "
        "again). Those of a rerun are queued together, or none where the queue has no room for "
        "them. Stopping and giving a priority twice is fine; for a rerun send an "
        "`Idempotency-Key`.",
        operation_id="deployments_actions",
        parameters=[headers.PARAMETER],
        answers={200: ActionAnswerSerializer, 409: REFUSED_SUBMIT},
    ),
    "stop_of_cluster": Doc(
        "deployments",
        "Stop it, as older clients do",
        "400 if it is not of that cluster.",
        operation_id="deployments_stop_of_cluster",
    ),
    "destroy": Doc(
        "deployments",
        "Stop it",
        "Its history stays. Stopping twice is fine.",
        answers={204: "Stopped"},
    ),
    "checkpoint": Doc(
        "deployments",
        "Report a checkpoint: what came before it is safe",
        "The scheduler counts only what came after as lost by an eviction.",
        answers={409: NOT_RUNNING},
    ),
    "logs": Doc(
        "deployments",
        "What it wrote",
        "Plain text of both its streams, as it comes. After the end the last 256 KiB of each "
        "replica are kept, with the times of its lines. First come `since` and `until`, then "
        "`grep`, then either `tail` or `skip` and `limit`.",
        parameters=LOG_PARAMETERS,
        answers={200: TEXT, 409: NO_TIMES, 429: TOO_MANY_READERS, 503: ENDPOINT_AWAY},
    ),
    "peers": Doc(
        "deployments",
        "How a replica of a gang finds the others",
        "The variables that the platform sets in it, its name and the hostfile, as of the present "
        "attempt; of the first one before it starts. Nothing for a deployment of one replica.",
        parameters=PEERS_PARAMETERS,
        answers={200: PeersSerializer},
    ),
}
CLUSTER_DEPLOYMENTS = {
    "list": Doc("deployments", "The deployments of one cluster", FOLLOW, answers=CHANGED),
    "counts": COUNTS,
}
EVENTS = {"list": Doc("deployments", "Its timeline, oldest first")}
WHAT_A_QUOTA_IS = (
    "What a user's deployments have allocated in the cluster, with all replicas, may not exceed "
    "the user's quota; one that would exceed it waits with QUOTA_EXCEEDED, blocks no other "
    "deployment and evicts none. A user's own quota replaces the default as a whole: where it has "
    "no limit, there is none. A quota below what is allocated evicts nothing, but nothing starts "
    "that asks for more of it."
)
NO_MEMBER = not_there("No such cluster, or not yours; or the user is no member of its organization")
CLOSING = error(
    "The cluster is being deleted",
    "cluster_deleting",
    "The cluster is being deleted: it goes once what runs in it has been stopped.",
)
UNLIMITED = error(
    "Malformed or invalid, or no limit at all",
    "invalid",
    FAULTY,
    **{name: [NEEDS_A_LIMIT] for name in LIMITS},
)
SET = {200: QuotaSerializer, 201: QuotaSerializer, 409: CLOSING}

QUOTAS = {
    "list": Doc(
        "clusters",
        "The quotas of a cluster, the default first, with what is allocated",
        WHAT_A_QUOTA_IS,
    ),
    "retrieve": Doc("clusters", "A user's own quota, with what the user has allocated"),
    "update": Doc(
        "clusters",
        "Give a user a quota of their own",
        f"It replaces the one of before as a whole. {WHAT_A_QUOTA_IS} Without any limit it "
        "exempts the user from the default. A member who leaves the organization keeps it, as "
        "their deployments go on.",
        answers={**SET, 404: NO_MEMBER},
    ),
    "destroy": Doc(
        "clusters",
        "Delete a user's own quota",
        "From then on the default applies to the user, if there is one.",
        answers={409: CLOSING},
    ),
    "default": Doc("clusters", "The default quota, of all users without one of their own"),
    "set_default": Doc(
        "clusters",
        "Set the default quota, of all users without one of their own",
        "Each of them may have so much allocated. It replaces the former one as a whole. "
        f"{WHAT_A_QUOTA_IS}",
        answers={**SET, 400: UNLIMITED},
    ),
    "delete_default": Doc(
        "clusters",
        "Delete the default quota",
        "From then on only users with a quota of their own have limits.",
        answers={409: CLOSING},
    ),
}
