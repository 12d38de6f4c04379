"""Drops indexes whose columns lead another index of the table, and those for LIKE, which no query
uses. Each update that is not HOT writes into every index."""

import django.db.models.deletion
from django.db import migrations, models

from mlops_platform.database.migrations import drop_index


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("organizations", "0002_bans"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="ban",
                    name="organization",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="bans",
                        to="organizations.organization",
                    ),
                ),
                migrations.AlterField(
                    model_name="membership",
                    name="organization",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="memberships",
                        to="organizations.organization",
                    ),
                ),
            ]
        ),
        drop_index(
            "organizations_membership_organization_id_6889aa64",
            "organizations_membership",
            "organization_id",
        ),
        drop_index(
            "organizations_ban_organization_id_9dad0671", "organizations_ban", "organization_id"
        ),
        drop_index(
            "organizations_invitecode_code_944b9d7f_like",
            "organizations_invitecode",
            "code varchar_pattern_ops",
        ),
    ]
