"""Drops indexes for LIKE, which no query uses. Each update that is not HOT writes into every index."""

from django.db import migrations

from mlops_platform.database.migrations import drop_index


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("accounts", "0004_fold_names")]

    operations = [
        drop_index(
            "accounts_user_username_6088629e_like", "accounts_user", "username varchar_pattern_ops"
        ),
        drop_index(
            "accounts_user_folded_6d71091c_like", "accounts_user", "folded varchar_pattern_ops"
        ),
    ]
