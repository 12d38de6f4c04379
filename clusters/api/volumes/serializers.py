"""The bodies of the volume calls."""

import re
from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from clusters.api.labels import Labels
from clusters.endpoints.attachment import LONGEST_URL
from clusters.models import VolumeKind
from mlops_platform.api.fields import BoundedList, Choice, Flag, Mebibytes, Text
from mlops_platform.api.paths import AbsolutePath, InnerPath
from mlops_platform.api.serializers import StrictSerializer
from organizations.secrets.queries import NAME
from organizations.secrets.services import BAD_NAME

MOST_NODE_NAMES = 1000
LARGEST_MIB = 2**40
ACCESS_MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?")  # of a Pod, with a prefix
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?")
_DOCKER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_OBJECT = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")

# What the source of each kind needs, and takes besides.
NEEDS: Mapping[str, frozenset[str]] = {
    VolumeKind.HOST_PATH: frozenset({"path"}),
    VolumeKind.NFS: frozenset({"server", "path"}),
    VolumeKind.DOCKER_VOLUME: frozenset(),
    VolumeKind.PVC: frozenset(),
    VolumeKind.S3: frozenset({"endpoint", "bucket"}),
}
TAKES: Mapping[str, frozenset[str]] = {
    VolumeKind.DOCKER_VOLUME: frozenset({"volume"}),
    VolumeKind.PVC: frozenset({"claim", "storage_class", "size_mib", "access_mode"}),
    VolumeKind.S3: frozenset({"prefix", "region", "secrets", "max_mib"}),
}
EXAMPLE: Mapping[str, Any] = {
    "id": "0199d1c6-2b7e-7d40-9c11-5a0e6f3b7d21",
    "name": "datasets",
    "kind": "NFS",
    "source": {"server": "nas.example.org", "path": "/export/datasets"},
    "read_only": True,
    "node_names": [],
    "node_selector": {"zone": "b"},
    "created_at": "2026-03-01T09:00:00Z",
}


class Named(Text):
    """A text of a grammar, of which `said` tells what it may be."""

    default_error_messages = {"malformed": "{said}"}

    def __init__(self, grammar: re.Pattern[str], said: str, **kwargs: Any) -> None:
        super().__init__(max_length=253, trim_whitespace=False, **kwargs)
        self._grammar, self._said = grammar, said

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if text and not self._grammar.fullmatch(text):
            self.fail("malformed", said=self._said)
        return text


def volume_name(**kwargs: Any) -> Named:
    said = "Lower-case letters, digits and -, which neither begins nor ends it; 60 at most."
    return Named(_NAME, said, **kwargs)


class KeysSerializer(StrictSerializer):
    """The names of the organization's secrets that have an access key of the bucket."""

    access_key_id = Named(NAME, BAD_NAME, help_text="The name of the secret that has it.")
    secret_access_key = Named(NAME, BAD_NAME, help_text="The name of the secret that has it.")

    class Meta:
        ref_name = "KeysOfBucket"
        swagger_schema_fields: Mapping[str, Any] = {
            "example": {"access_key_id": "s3-key-id", "secret_access_key": "s3-key"}
        }


class SourceSerializer(StrictSerializer):
    """What a volume is made of, by its kind."""

    path = AbsolutePath(required=False, help_text="HOST_PATH and NFS.")
    server = Named(_HOST, "A host name or an address.", required=False, help_text="NFS.")
    volume = Named(
        _DOCKER,
        "The name of a Docker volume.",
        required=False,
        help_text="DOCKER_VOLUME: one that exists, offered by operators; else one of its own.",
    )
    claim = Named(
        _OBJECT,
        "The name of a PersistentVolumeClaim.",
        required=False,
        help_text="PVC: one that exists in the cluster's namespace; else one is made.",
    )
    storage_class = Named(
        _OBJECT,
        "The name of a StorageClass.",
        required=False,
        help_text="PVC that is made: else of the cluster's default class.",
    )
    size_mib = Mebibytes(
        min_value=1, max_value=LARGEST_MIB, required=False, help_text="PVC that is made."
    )
    access_mode = Choice(
        ACCESS_MODES, required=False, help_text="PVC that is made: else ReadWriteMany."
    )
    endpoint = Text(
        max_length=LONGEST_URL,
        required=False,
        help_text="S3: https://host or https://host:port of the server.",
    )
    bucket = Named(_BUCKET, "The name of a bucket.", required=False, help_text="S3.")
    prefix = InnerPath(
        required=False, help_text="S3: only objects below this folder; else all of the bucket."
    )
    region = Named(
        _REGION, "The name of a region.", required=False, help_text="S3: else us-east-1."
    )
    secrets = KeysSerializer(
        required=False,
        help_text="S3: which secrets of the organization have its key; else it is public.",
    )
    max_mib = Mebibytes(
        min_value=1,
        max_value=LARGEST_MIB,
        required=False,
        help_text="S3: what a deployment may fetch of it at most; else as the platform allows.",
    )

    class Meta:
        ref_name = "SourceOfVolume"  # programs that make clients call a field's type VolumeSource
        swagger_schema_fields: Mapping[str, Any] = {"example": EXAMPLE["source"]}


class NodeNames(BoundedList):
    """Names of nodes, each once."""

    default_error_messages = {"twice": "Each node at most once."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(Text(max_length=100), most=MOST_NODE_NAMES, elements="nodes", **kwargs)

    def to_internal_value(self, data: Any) -> list[str]:
        names = super().to_internal_value(data)
        if len(set(names)) < len(names):
            self.fail("twice")
        return sorted(names)


class NewVolumeSerializer(StrictSerializer):
    name = volume_name(help_text="What deployments mount it by.")
    kind = Choice(VolumeKind.values)
    source = SourceSerializer(default=dict)  # type: ignore[assignment]  # a field, not DRF's attribute
    read_only = Flag(required=False, help_text="No deployment may write it; S3: always.")  # type: ignore[assignment]  # a field, not DRF's attribute
    node_names = NodeNames(default=list, help_text="The nodes that have it; else all.")
    node_selector = Labels(
        default=dict, help_text="Only nodes that carry all of these labels have it."
    )

    class Meta:
        ref_name = "NewVolume"
        swagger_schema_fields = {
            "example": {"name": "scratch", "kind": "DOCKER_VOLUME", "node_names": ["gpu-1"]}
        }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        refuse_source(attrs["kind"], attrs["source"])
        attrs.setdefault("read_only", attrs["kind"] == VolumeKind.S3)
        return attrs


class ChangeVolumeSerializer(StrictSerializer):
    """What is not given stays as it is. The kind stays, and what is made of it is judged by it."""

    source = SourceSerializer(required=False, help_text="While no deployment mounts it.")  # type: ignore[assignment]  # a field, not DRF's attribute
    read_only = Flag(required=False, help_text="From the next starts on.")  # type: ignore[assignment]  # a field, not DRF's attribute
    node_names = NodeNames(required=False, help_text="From the next starts on.")
    node_selector = Labels(required=False, help_text="From the next starts on.")

    class Meta:
        ref_name = "ChangeVolume"
        swagger_schema_fields = {"example": {"read_only": True}}


class VolumeSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(VolumeKind.values)
    source = serializers.DictField()  # type: ignore[assignment]  # a field, not DRF's attribute
    read_only = serializers.BooleanField()  # type: ignore[assignment]  # a field, not DRF's attribute
    node_names = serializers.ListField(child=serializers.CharField())
    node_selector = serializers.DictField(child=serializers.CharField())
    created_at = serializers.DateTimeField()

    class Meta:
        ref_name = "Volume"
        swagger_schema_fields: Mapping[str, Any] = {"example": EXAMPLE}


def refuse_source(kind: str, source: Mapping[str, Any]) -> None:
    """400 that names the fields of a source which its kind lacks, or does not take."""
    needs, takes = NEEDS[kind], TAKES.get(kind, frozenset())
    if kind == VolumeKind.PVC and "claim" in source:
        takes = frozenset({"claim"})  # it is there already, with a class and a size
    elif kind == VolumeKind.PVC:
        needs = frozenset({"size_mib"})
    faults = {name: "Required for this kind." for name in needs if name not in source}
    others = [name for name in source if name not in needs | takes]
    faults |= dict.fromkeys(others, "Not for this kind.")
    if faults:
        raise serializers.ValidationError({"source": faults})
