"""Drops indexes for LIKE, which no query uses. Each update that is not HOT writes into every index."""

from django.db import migrations

from mlops_platform.database.migrations import drop_index


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("accounts", "0008_identities")]

    operations = [
        drop_index(
            "accounts_user_verified_email_aed450f4_like",
            "accounts_user",
            "verified_email varchar_pattern_ops",
        ),
        drop_index(
            "accounts_devicegrant_digest_6f21091d_like",
            "accounts_devicegrant",
            "digest varchar_pattern_ops",
        ),
        drop_index(
            "accounts_devicegrant_user_code_d46ba09c_like",
            "accounts_devicegrant",
            "user_code varchar_pattern_ops",
        ),
    ]
