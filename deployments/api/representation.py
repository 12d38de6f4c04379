"""The answers of the deployment calls: rows with their reasons, positions and dependencies."""

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import prefetch_related_objects
from drf_yasg.utils import swagger_serializer_method
from rest_framework import serializers

from accounts.models import User
from deployments import hooks
from deployments.api.body.fields import ShownGpus
from deployments.api.body.readiness import ReadinessSerializer
from deployments.api.body.secret_references import ShownSecretReferenceSerializer
from deployments.api.body.volumes import MountSerializer
from deployments.api.eta import ETA_EXAMPLE, EtaSerializer
from deployments.api.parts import AmountsSerializer, PlacementSerializer
from deployments.api.parts import ReasonSerializer as ReasonSerializer
from deployments.models import Deployment, Kind, OnPreempt, Status
from deployments.queries.dependencies import Dependencies, dependencies_of
from deployments.queries.deployments import LARGE, positions_of
from deployments.queries.names import SURROUNDINGS, names_of
from deployments.queries.priority_classes import priority_classes
from deployments.queries.secrets import shown
from deployments.reasons import codes
from deployments.reasons.reader import reasons_for
from deployments.services.drafting.whole_nodes import show_asked
from mlops_platform.api.fields import ShownCores, ShownSeconds, ShownThousandths

logger = logging.getLogger(__name__)

EXAMPLE: Mapping[str, Any] = {
    "id": "0199d1c5-3f10-7e42-8a6b-9c0d51e27f34",
    "name": "train-resnet",
    "labels": {"team": "vision"},
    "rerun_of": None,
    "rerun_of_name": None,
    "sweep_id": None,
    "sweep": None,
    "sweep_index": None,
    "cluster_id": "0199d1c4-5e21-7b6f-9d0a-41c2f7a8b305",
    "cluster": "gpu-west",
    "organization_id": "0199d1c3-02b4-7d10-8c55-0c6f1b7a9d42",
    "organization": "Analytical Engines",
    "owner_id": "0199d1c2-7a3e-7c51-9f0a-3b1f6f2d8e11",
    "owner": "ada",
    "image": "registry.example.com/vision/train:1.2",
    "image_digest": "",
    "command": [],
    "args": ["--epochs", "10"],
    "env_names": ["SEED"],
    "secrets": [{"scope": "organization", "name": "hf-token", "env": "HF_TOKEN"}],
    "kind": "job",
    "required_cpu": 4,
    "required_ram": 16384,
    "required_gpu": 4,
    "exclusive": False,
    "given": None,
    "shm_mib": None,
    "ephemeral_mib": None,
    "user": "",
    "workdir": "",
    "ulimits": {},
    "pull_policy": "if_missing",
    "volumes": [{"name": "datasets", "path": "/data", "read_only": True, "sub_path": ""}],
    "replicas": 1,
    "node_selector": {},
    "priority": "HIGH",
    "status": "QUEUED",
    "reason": {
        "code": "INSUFFICIENT_CAPACITY",
        "message": "Needs 2 more GPUs: asks for 4, 2 are free.",
        "details": {
            "short": {"gpu": 2},
            "requested": {"cpu": 4, "ram": 16384, "gpu": 4},
            "free": {"cpu": 59.5, "ram": 253952, "gpu": 2},
        },
    },
    "queue_position": 1,
    "eta": ETA_EXAMPLE,
    "depends_on": [],
    "depends_on_names": [],
    "placement": [],
    "max_runtime_s": None,
    "simulated_runtime_s": 120,
    "grace_s": 30,
    "stop_signal": None,
    "pre_stop": [],
    "checkpoint_file": None,
    "max_retries": 0,
    "retry_on": None,
    "fail_on": None,
    "retry_ram_factor": None,
    "retry_ram_limit": None,
    "on_preempt": "requeue",
    "readiness": None,
    "attempt": 0,
    "retry_count": 0,
    "preemption_count": 0,
    "created_at": "2026-03-01T09:00:00Z",
    "started_at": None,
    "checkpoint_at": None,
    "finished_at": None,
    "exit_code": None,
}


NAMES = ("cluster", "organization_id", "organization", "owner", "rerun_of_name", "sweep")
OF_OTHERS = frozenset({"reason", "queue_position", "eta", "depends_on", "depends_on_names", *NAMES})
"""What follows from other rows."""
NOT_YET_EVALUATED = codes.render(codes.NOT_YET_EVALUATED, {})


class DeploymentSerializer(serializers.Serializer):
    """Needs `reasons`, `positions` and `dependencies` by id in its context."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    labels = serializers.DictField(child=serializers.CharField())
    rerun_of = serializers.UUIDField(
        source="rerun_of_id", allow_null=True, help_text="The deployment that it runs again."
    )
    rerun_of_name = serializers.CharField(
        default=None, allow_null=True, help_text="What it is called; null once it is gone."
    )
    sweep_id = serializers.UUIDField(
        allow_null=True, help_text="The sweep of which it is a member."
    )
    sweep = serializers.CharField(source="sweep.name", default=None, allow_null=True)
    sweep_index = serializers.IntegerField(
        allow_null=True, help_text="Which of the sweep's parameters it has."
    )
    cluster_id = serializers.UUIDField()
    cluster = serializers.CharField(source="cluster.name")
    organization_id = serializers.UUIDField(source="cluster.organization_id")
    organization = serializers.CharField(source="cluster.organization.name")
    owner_id = serializers.UUIDField()
    owner = serializers.CharField(source="owner.username", help_text="The user's name.")
    image = serializers.CharField()
    image_digest = serializers.CharField(
        help_text="Of what the last attempt ran: in the image's registry, or else its own id."
    )
    command = serializers.ListField(child=serializers.CharField())
    args = serializers.ListField(child=serializers.CharField())
    env_names = serializers.ListField(
        child=serializers.CharField(), help_text="Values may be secret: never shown."
    )
    secrets = serializers.ListField(
        source="shown_secrets",  # which present and present_new set
        child=ShownSecretReferenceSerializer(),
        default=list,
        help_text="Never their values.",
    )
    kind = serializers.ChoiceField(Kind.values)
    required_cpu = ShownCores(source="cpu_milli")
    required_ram = serializers.IntegerField(source="ram_mib")
    required_gpu = ShownGpus(source="gpu", help_text='A number, or "all" of its node.')
    exclusive = serializers.BooleanField(
        source="whole.exclusive", default=False, help_text="It takes whole nodes."
    )
    given = AmountsSerializer(source="whole.given", default=None, allow_null=True)
    shm_mib = serializers.IntegerField(
        source="container.shm_mib",
        default=None,
        allow_null=True,
        help_text="Null: half of required_ram.",
    )
    ephemeral_mib = serializers.IntegerField(
        source="container.ephemeral_mib",
        default=None,
        allow_null=True,
        help_text="Null: no limit.",
    )
    user = serializers.CharField(source="container.user", default="")
    workdir = serializers.CharField(source="container.workdir", default="")
    ulimits = serializers.DictField(source="container.ulimits", default=dict)
    volumes = MountSerializer(many=True)
    pull_policy = serializers.CharField(source="container.pull_policy", default="if_missing")
    replicas = serializers.IntegerField()
    node_selector = serializers.DictField(child=serializers.CharField())
    priority = serializers.CharField(source="priority_class.name")
    status = serializers.ChoiceField(Status.values)
    reason = serializers.SerializerMethodField()
    queue_position = serializers.SerializerMethodField(
        help_text="From 1, while it is QUEUED; under fair_share by class and submit time."
    )
    eta = EtaSerializer(
        source="shown_eta",  # which present sets
        default=None,
        allow_null=True,
        help_text="When it starts, as forecast at `made_at`; null where it does not wait, or no "
        "forecast has been made yet.",
    )
    depends_on = serializers.SerializerMethodField(help_text="What has to complete first.")
    depends_on_names = serializers.ListField(
        source="dependency_names",  # which present and present_new set
        child=serializers.CharField(),
        default=list,
        help_text="What these are called, in the same order.",
    )
    placement = PlacementSerializer(many=True)
    max_runtime_s = serializers.IntegerField(allow_null=True)
    simulated_runtime_s = ShownSeconds(source="simulated_for_s", allow_null=True)
    grace_s = serializers.IntegerField()
    stop_signal = serializers.CharField(
        source="container.stop_signal",
        default=None,
        allow_null=True,
        help_text="Null: that of the image.",
    )
    pre_stop = serializers.ListField(
        source="container.pre_stop", child=serializers.CharField(), default=list
    )
    checkpoint_file = serializers.CharField(
        source="container.checkpoint_file", default=None, allow_null=True
    )
    max_retries = serializers.IntegerField()
    retry_on = serializers.ListField(
        source="retry.on",
        child=serializers.CharField(),
        default=None,
        allow_null=True,
        help_text="Null: every cause.",
    )
    fail_on = serializers.ListField(
        source="retry.not_on",
        child=serializers.CharField(),
        default=None,
        allow_null=True,
        help_text="Null: none.",
    )
    retry_ram_factor = ShownThousandths(
        source="retry.ram_factor_milli", default=None, allow_null=True
    )
    retry_ram_limit = serializers.IntegerField(
        source="retry.ram_limit_mib", default=None, allow_null=True
    )
    on_preempt = serializers.ChoiceField(OnPreempt.values)
    readiness = ReadinessSerializer(allow_null=True)
    attempt = serializers.IntegerField(help_text="How often it has been admitted.")
    retry_count = serializers.IntegerField()
    preemption_count = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    checkpoint_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    exit_code = serializers.IntegerField(allow_null=True)

    class Meta:
        swagger_schema_fields: Mapping[str, Any] = {"example": EXAMPLE}

    @swagger_serializer_method(ReasonSerializer(allow_null=True))
    def get_reason(self, deployment: Deployment) -> dict[str, Any] | None:
        return self.context["reasons"].get(deployment.pk)

    @swagger_serializer_method(serializers.IntegerField(allow_null=True))
    def get_queue_position(self, deployment: Deployment) -> int | None:
        return self.context["positions"].get(deployment.pk)

    @swagger_serializer_method(serializers.ListField(child=serializers.UUIDField()))
    def get_depends_on(self, deployment: Deployment) -> list[str]:
        return [str(each.id) for each in self.context["dependencies"].get(deployment.pk, ())]


class ListedDeploymentSerializer(DeploymentSerializer):
    """A deployment in a list: without what may be large, which its own page shows."""

    command = None  # type: ignore[assignment]  # how DRF leaves an inherited field out
    args = None  # type: ignore[assignment]
    env_names = None  # type: ignore[assignment]
    secrets = None  # type: ignore[assignment]
    readiness = None  # type: ignore[assignment]
    shm_mib = None  # type: ignore[assignment]
    ephemeral_mib = None  # type: ignore[assignment]
    user = None  # type: ignore[assignment]
    workdir = None  # type: ignore[assignment]
    ulimits = None  # type: ignore[assignment]
    pull_policy = None  # type: ignore[assignment]
    retry_on = None  # type: ignore[assignment]
    fail_on = None  # type: ignore[assignment]
    retry_ram_factor = None  # type: ignore[assignment]
    retry_ram_limit = None  # type: ignore[assignment]
    stop_signal = None  # type: ignore[assignment]
    pre_stop = None  # type: ignore[assignment]
    checkpoint_file = None  # type: ignore[assignment]

    class Meta:
        ref_name = "ListedDeployment"
        always_there = ["id"]  # the others depend on `?fields=`
        swagger_schema_fields: Mapping[str, Any] = {
            "example": {name: value for name, value in EXAMPLE.items() if name not in LARGE}
        }


def present_page(
    deployments: Sequence[Deployment], fields: Collection[str] | None = None
) -> list[dict[str, Any]]:
    """A page of a list, as `present` but without what may be large."""
    return present(deployments, ListedDeploymentSerializer, fields=fields)


def present(
    deployments: Sequence[Deployment],
    serializer: type[DeploymentSerializer] = DeploymentSerializer,
    reader: User | None = None,
    fields: Collection[str] | None = None,
) -> list[dict[str, Any]]:
    """Deployments in full, as `reader` may see them, or of each its id and these `fields` alone.
    One query, and two where not all have their owners and organizations at hand; if any is queued,
    two more and two Redis round trips; one if any runs or stops on a node, and one if any reason
    refers to others (reasons_for); one if any is a rerun. None where no field needs them."""
    if fields is not None and OF_OTHERS.isdisjoint(fields):
        return _present_alone(deployments, serializer, fields)
    dependencies = dependencies_of(deployments)
    prefetch_related_objects(deployments, *SURROUNDINGS)
    reruns = {row.rerun_of_id for row in deployments if row.rerun_of_id}
    names = names_of(reruns, {row.cluster_id for row in deployments}) if reruns else {}
    for row in deployments:
        if row.rerun_of_id and (again := names.get(str(row.rerun_of_id))):
            row.rerun_of_name = again.name
        if row.pk in dependencies:
            row.dependency_names = [str(each.name) for each in dependencies[row.pk]]
    if serializer is DeploymentSerializer:
        for row in deployments:
            if row.secrets:
                row.shown_secrets = shown(row, reader)
    queued = any(row.status == Status.QUEUED for row in deployments)
    class_names = list(priority_classes()) if queued else []
    etas = hooks.find_etas(deployments) if queued else {}
    for row in deployments:
        row.shown_eta = etas.get(row.pk)
    context = {
        "reasons": reasons_for(deployments, dependencies),
        "positions": positions_of(deployments, class_names),
        "dependencies": dependencies,
    }
    if fields is not None:
        return _present_alone(deployments, serializer, fields, context)
    if any(row.whole for row in deployments):
        show_asked(deployments)
    return list(serializer(deployments, many=True, context=context).data)


def _present_alone(
    deployments: Sequence[Deployment],
    serializer: type[DeploymentSerializer],
    fields: Collection[str],
    context: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    if any(row.whole for row in deployments):
        show_asked(deployments)
    one = serializer(context=context or {})
    for name in set(one.fields) - {"id", *fields}:
        del one.fields[name]
    return [one.to_representation(row) for row in deployments]


def present_one(deployment: Deployment, reader: User) -> dict[str, Any]:
    return present([deployment], reader=reader)[0]


def present_new(
    deployments: Sequence[Deployment],
    class_names: Sequence[str],
    dependencies: Dependencies,
    reader: User,
) -> list[dict[str, Any]]:
    """Deployments just submitted: no cycle has looked at them, so no reason is looked up.

    One Redis round trip.
    """
    why: dict[UUID, dict[str, Any] | None] = {}
    gated = []
    for row in deployments:
        if row.secrets:
            row.shown_secrets = shown(row, reader)
        if needed := dependencies.get(row.pk):
            row.dependency_names = [str(each.name) for each in needed]
        why[row.pk] = NOT_YET_EVALUATED
        if row.pending_dependencies:
            gated.append(row)
    context = {
        "reasons": why | (reasons_for(gated, dependencies) if gated else {}),
        "positions": positions_of(deployments, class_names),
        "dependencies": dependencies,
    }
    if any(row.whole for row in deployments):
        show_asked(deployments)
    return list(DeploymentSerializer(deployments, many=True, context=context).data)
