"""The bodies that the deployment calls take. Sources are the model's columns."""

from typing import Any

from rest_framework import serializers

from clusters.api.amounts import cpu_field, ram_field
from clusters.api.labels import Labels
from deployments.api.body.fields import (
    Arguments,
    CheckpointFile,
    ContainerUser,
    Dependencies,
    Environment,
    EnvironmentChanges,
    Gpus,
    Image,
    Items,
    PreStop,
    Ulimits,
    WorkingDirectory,
)
from deployments.api.body.readiness import ReadinessSerializer
from deployments.api.body.retries import MOST_FACTOR_MILLI, Causes
from deployments.api.body.secret_references import SecretReferences
from deployments.api.body.volumes import Mounts
from deployments.models import Kind, OnPreempt
from mlops_platform.api.fields import (
    MILLI,
    Choice,
    Flag,
    IdOrName,
    Label,
    Mebibytes,
    Seconds,
    Text,
    Thousandths,
    WholeNumber,
)
from mlops_platform.api.serializers import StrictSerializer

STOP_SIGNALS = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2"]
YEAR_S = 365 * 24 * 3600
MOST_REPLICAS = 1000
MAX_EPHEMERAL_MIB = 2**30
LONGEST_NAME = 100
MOST_LABELS = 32
MOST_SUBMITS = 1000  # of one bulk
EXAMPLE_CLUSTER = "0199d1c4-5e21-7b6f-9d0a-41c2f7a8b305"


def _replicas(**kwargs: Any) -> WholeNumber:
    return WholeNumber(min_value=1, max_value=MOST_REPLICAS, **kwargs)


def _time_limit(**kwargs: Any) -> WholeNumber:
    return WholeNumber(min_value=1, max_value=YEAR_S, allow_null=True, **kwargs)


def _priority(**kwargs: Any) -> Text:
    return Text(max_length=100, **kwargs)


class SubmitSerializer(StrictSerializer):
    """A submit. The defaults stand here, so that leaving one out and giving it are the same."""

    cluster_id = IdOrName()
    image = Image()
    required_cpu = cpu_field(help_text="Cores for each replica; up to three decimals.")
    required_ram = ram_field(help_text="MiB for each replica.")
    required_gpu = Gpus(
        source="gpu", help_text='Whole GPUs for each replica; or "all" of whichever node it takes.'
    )
    exclusive = Flag(
        default=False,
        help_text="Each replica takes a whole node, which has at least what it asks for: nothing "
        "else runs there.",
    )
    priority = _priority(
        default="LOW", help_text="A priority class: LOW, HIGH or one that operators added."
    )
    name = Label(
        max_length=LONGEST_NAME,
        default="",
        allow_blank=True,
        help_text="Else that of the image.",
    )
    labels = Labels(
        default=dict,
        most=MOST_LABELS,
        help_text="To find it by: `?label=team=vision`. The scheduler does not look at them.",
    )
    command = Arguments(default=list, help_text="Replaces the image's entry point.")
    args = Arguments(default=list)
    env = Environment(default=dict, help_text="Answers show the names only.")
    secrets = SecretReferences(
        default=list, help_text="Secrets that its containers get, as variables or files."
    )
    shm_mib = ram_field(
        "container.shm_mib",
        default=None,
        allow_null=True,
        help_text="MiB of /dev/shm, of those that it asks for; else half of them.",
    )
    ephemeral_mib = Mebibytes(
        source="container.ephemeral_mib",
        min_value=1,
        max_value=MAX_EPHEMERAL_MIB,
        default=None,
        allow_null=True,
        help_text="MiB that it may write beside its volumes; else no limit.",
    )
    user = ContainerUser(
        source="container.user", default="", help_text="1000 or 1000:100; else the image's."
    )
    workdir = WorkingDirectory(
        source="container.workdir", default="", help_text="Else the image's."
    )
    ulimits = Ulimits(
        source="container.ulimits",
        default=dict,
        help_text='memlock and stack in bytes or "unlimited", and nofile. Not on Kubernetes.',
    )
    volumes = Mounts(default=list, help_text="What it mounts of the cluster's volumes.")
    pull_policy = Choice(
        [("if_missing", "if_missing"), ("always", "always")],
        source="container.pull_policy",
        default="if_missing",
        help_text="always: each start asks the registry whether the tag names another image now.",
    )
    replicas = _replicas(default=1, help_text="All of them start, or none does.")
    node_selector = Labels(default=dict, help_text="Labels that its nodes must carry, all of them.")
    kind = Choice(Kind.choices, default=Kind.JOB.value)
    max_runtime_s = _time_limit(default=None, help_text="Fails if it runs longer.")
    simulated_runtime_s = Seconds(
        min_milli=1,
        max_milli=YEAR_S * MILLI,
        default=None,
        allow_null=True,
        help_text="Completes by itself after running so long; up to three decimals. In a simulated "
        "cluster only.",
    )
    grace_s = WholeNumber(
        min_value=0,
        max_value=3600,
        default=30,
        help_text="Seconds from the warning of its end, its pre_stop or stop signal, to the kill.",
    )
    stop_signal = Choice(
        STOP_SIGNALS,
        source="container.stop_signal",
        default=None,
        allow_null=True,
        help_text="What warns it of a stop, an eviction, a drain or a limit; else the image's. Not "
        "on Kubernetes.",
    )
    pre_stop = PreStop(
        source="container.pre_stop",
        default=list,
        help_text="A command that runs in the container before the stop signal.",
    )
    checkpoint_file = CheckpointFile(
        source="container.checkpoint_file",
        default=None,
        allow_null=True,
        help_text="Each time it is written counts as a report of a checkpoint. On Docker.",
    )
    max_retries = WholeNumber(min_value=0, max_value=100, default=0)
    retry_on = Causes(
        source="retry.on",
        default=None,
        allow_null=True,
        help_text="The causes that are tried again: exit codes, ranges of them, or codes such as "
        "OUT_OF_MEMORY; else all.",
    )
    fail_on = Causes(
        source="retry.not_on",
        default=None,
        allow_null=True,
        help_text="The causes that end it at once, whatever retries are left.",
    )
    retry_ram_factor = Thousandths(
        source="retry.ram_factor_milli",
        min_milli=MILLI + 1,
        max_milli=MOST_FACTOR_MILLI,
        default=None,
        allow_null=True,
        help_text="After OUT_OF_MEMORY the next attempt asks for so many times the RAM.",
    )
    retry_ram_limit = ram_field(
        "retry.ram_limit_mib",
        default=None,
        allow_null=True,
        help_text="MiB up to which it does.",
    )
    on_preempt = Choice(
        OnPreempt.choices,
        default=OnPreempt.REQUEUE.value,
        help_text="What becomes of it when it is evicted for another deployment.",
    )
    readiness = ReadinessSerializer(
        default=None,
        allow_null=True,
        help_text="How to tell that it is ready; else it is as soon as it runs.",
    )
    depends_on = Dependencies(
        default=list,
        help_text="Deployments of the cluster that must complete before it may start.",
    )
    quote = Text(
        required=False,
        max_length=4096,
        help_text="The token of a quote: submitted exactly as quoted, or not at all (409).",
    )
    confirm = Flag(
        default=False,
        help_text="It may evict others at once, where the organization's rules ask for that.",
    )

    class Meta:
        swagger_schema_fields = {
            "example": {
                "cluster_id": EXAMPLE_CLUSTER,
                "name": "train-resnet",
                "image": "registry.example.com/vision/train:1.2",
                "required_cpu": 4,
                "required_ram": 16384,
                "required_gpu": 1,
                "priority": "HIGH",
                "labels": {"team": "vision"},
                "args": ["--epochs", "10"],
                "env": {"SEED": "42"},
                "simulated_runtime_s": 120,
            }
        }


class BulkItemSerializer(SubmitSerializer):
    """A submit among many; without a quote, which foresees one submit alone."""

    quote = None  # type: ignore[assignment]  # how DRF leaves an inherited field out


class BulkSerializer(StrictSerializer):
    deployments = Items(BulkItemSerializer(), most=MOST_SUBMITS)

    class Meta:
        swagger_schema_fields = {
            "example": {
                "deployments": [
                    {
                        "cluster_id": EXAMPLE_CLUSTER,
                        "name": f"sweep-{number}",
                        "image": "registry.example.com/vision/train:1.2",
                        "required_cpu": 4,
                        "required_ram": 16384,
                        "required_gpu": 1,
                        "args": ["--seed", str(number)],
                        "simulated_runtime_s": 120,
                    }
                    for number in (1, 2)
                ]
            }
        }


class ChangeDeploymentSerializer(StrictSerializer):
    """What is not given stays as it is."""

    name = Label(max_length=LONGEST_NAME, required=False)
    labels = Labels(required=False, most=MOST_LABELS, help_text="At any time; all of them.")
    priority = _priority(required=False, help_text="Until it has ended.")
    required_cpu = cpu_field(required=False, help_text="While it is QUEUED.")
    required_ram = ram_field(required=False, help_text="While it is QUEUED.")
    required_gpu = Gpus(source="gpu", required=False, help_text="While it is QUEUED.")
    exclusive = Flag(required=False, help_text="While it is QUEUED.")
    replicas = _replicas(required=False, help_text="While it is QUEUED.")
    node_selector = Labels(required=False, help_text="While it is QUEUED; all of them.")
    max_runtime_s = _time_limit(
        required=False,
        help_text="While it is QUEUED; null for none. A smaller one may let it "
        "start before maintenance.",
    )
    image = Image(required=False, help_text="While it is QUEUED.")
    command = Arguments(required=False, help_text="While it is QUEUED.")
    args = Arguments(required=False, help_text="While it is QUEUED.")
    env = EnvironmentChanges(
        required=False,
        help_text="While it is QUEUED: the variables that change, null removes one. The others "
        "stay.",
    )

    confirm = Flag(required=False, help_text="Another priority may evict others at once.")

    class Meta:
        swagger_schema_fields = {"example": {"priority": "HIGH"}}


class RerunSerializer(SubmitSerializer):
    """What the new deployment has other than the one that it runs again."""

    cluster_id = None  # type: ignore[assignment]  # how DRF leaves an inherited field out
    quote = None  # type: ignore[assignment]  # as above
    env = EnvironmentChanges(
        help_text="The variables that change, null removes one. The others are those of before."
    )

    def get_fields(self) -> dict[str, serializers.Field]:
        """Those of a submit, without defaults."""
        fields = super().get_fields()
        for each in fields.values():
            each.required, each.default = False, serializers.empty
        return fields

    class Meta:
        swagger_schema_fields = {"example": {"required_ram": 32768, "env": {"SEED": "43"}}}


class StopOfClusterSerializer(StrictSerializer):
    cluster_id = IdOrName()

    class Meta:
        swagger_schema_fields = {"example": {"cluster_id": EXAMPLE_CLUSTER}}


class CheckpointSerializer(StrictSerializer):
    at = serializers.DateTimeField(
        required=False,
        allow_null=True,
        help_text="When the work was saved, else now; not before the start, not in the future.",
    )

    class Meta:
        swagger_schema_fields = {"example": {"at": "2026-03-01T09:30:00Z"}}
