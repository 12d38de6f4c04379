"""Gives databases that ran a development version the defaults that 0003 and 0005 have by now."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("deployments", "0009_queue_allowance")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE deployments_deployment ALTER node_selector SET DEFAULT '{}',"
            " ALTER pending_dependencies SET DEFAULT 0, ALTER attempt SET DEFAULT 0,"
            " ALTER next_status SET DEFAULT '', ALTER yielded SET DEFAULT false",
            migrations.RunSQL.noop,
        ),
    ]
