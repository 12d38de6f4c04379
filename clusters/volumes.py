"""The volumes that a cluster offers its deployments: data that outlives a container."""

from collections.abc import Mapping
from typing import Any

from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7


class VolumeKind(models.TextChoices):
    HOST_PATH = "HOST_PATH", "A folder of the node"
    NFS = "NFS", "A folder that a file server exports"
    DOCKER_VOLUME = "DOCKER_VOLUME", "A volume of the Docker engine"
    PVC = "PVC", "A PersistentVolumeClaim"
    S3 = "S3", "Objects of an S3 bucket, fetched before each start"


class Volume(models.Model):
    """Data under a name that deployments of the cluster mount.

    `source` is what the kind takes (services/volumes.py). The address of a bucket is not judged
    where an operator has offered it: it is `trusted`. `node_names` and `node_selector` say which
    nodes have it, both of them where both are given; without either all have.
    `Cluster.has_local_volumes` says whether some node of the cluster may lack one.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    cluster = models.ForeignKey(
        "clusters.Cluster", on_delete=models.CASCADE, related_name="volumes", db_index=False
    )
    name = models.CharField(max_length=63)
    kind = models.CharField(max_length=16, choices=VolumeKind.choices)
    source = models.JSONField(default=dict, blank=True)
    read_only = models.BooleanField(default=False)
    trusted = models.BooleanField(default=False, db_default=False, editable=False)
    node_names = models.JSONField(default=list, blank=True)
    node_selector = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["cluster", "name"], name="volume_name_unique")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_local(self) -> bool:
        """Whether a node may lack it."""
        return bool(self.node_names or self.node_selector)

    def is_on(self, node: str, labels: Mapping[str, Any]) -> bool:
        """Whether the node of this name and these labels has it."""
        named = not self.node_names or node in self.node_names
        return named and self.node_selector.items() <= labels.items()
