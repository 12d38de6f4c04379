"""Rows of clusters have grown by the columns since 0012_table_storage, and grow with their first
evaluation: two versions of all rows of a page do not fit any more where half of it is left free."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("clusters", "0020_failed_starts")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE clusters_cluster SET (fillfactor = 45)",
            "ALTER TABLE clusters_cluster SET (fillfactor = 50)",
        )
    ]
