"""Which images a node has, as its runtime lists them."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models


class Prepull(models.TextChoices):
    """Whether images of waiting deployments are pulled on the nodes where these likely start."""

    OFF = "off"
    LIKELY = "likely"


class NodeImages(models.Model):
    """The names of a node's images, each with its registry and either its tag or its digest.

    `digest` is that of the list: whether it has changed is seen without reading it.
    """

    node = models.OneToOneField(
        "clusters.Node", on_delete=models.CASCADE, primary_key=True, related_name="images"
    )
    names = ArrayField(models.TextField())
    digest = models.BinaryField(max_length=16)
    changed_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "images of nodes"
        indexes = [GinIndex(fields=["names"], name="nodes_by_image", fastupdate=False)]

    def __str__(self) -> str:
        return f"images of {self.node_id}"
