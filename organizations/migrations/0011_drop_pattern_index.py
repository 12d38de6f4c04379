"""Drops an index for LIKE, which no query uses. Each insert writes into every index."""

from django.db import migrations

from mlops_platform.database.migrations import drop_index


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("organizations", "0010_organization_events")]

    operations = [
        drop_index(
            "organizations_invitation_digest_907da191_like",
            "organizations_invitation",
            "digest varchar_pattern_ops",
        ),
    ]
