"""An index of the deadlines of drains, built while reads and writes go on; and the nodes that have
been drained before drains had an end. What an evicted workload still occupies is no reason to ask
again: nothing is allocated to it."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q

_DRAINED = """
UPDATE clusters_node
   SET state = 'DRAINED'
 WHERE state = 'DRAINING' AND pending IS NULL
   AND (allocated_cpu_milli, allocated_ram_mib, allocated_gpu) = (0, 0, 0)
"""
_DRAINING = "UPDATE clusters_node SET state = 'DRAINING' WHERE state = 'DRAINED'"


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("clusters", "0028_node_drains")]

    operations = [
        AddIndexConcurrently(
            "node",
            models.Index(
                fields=["drain_deadline"],
                condition=Q(drain_deadline__isnull=False),
                name="node_drain_deadline",
            ),
        ),
        migrations.RunSQL(_DRAINED, _DRAINING),
    ]
