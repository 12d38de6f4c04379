"""Lets parts of days be read by the begin of intervals too, without a look at their rows."""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models import F
from django.db.models.functions import Coalesce


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("deployments", "0036_webhooks")]

    operations = [
        AddIndexConcurrently(
            "allocationinterval",
            models.Index(
                F("organization_id"),
                F("end_ms"),
                Coalesce(F("queued_ms"), F("begin_ms")),
                condition=models.Q(("is_summed", True)),
                name="interval_summed_from_to",
            ),
        ),
        RemoveIndexConcurrently("allocationinterval", "interval_summed"),
    ]
