"""Without a list of entries that are not sorted in yet, which each look-up would read: nodes change
their images seldom. The table is as new as the index."""

from django.contrib.postgres.indexes import GinIndex
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("clusters", "0024_prepull")]

    operations = [
        migrations.RemoveIndex("nodeimages", "nodes_by_image"),
        migrations.AddIndex(
            "nodeimages",
            GinIndex(fields=["names"], name="nodes_by_image", fastupdate=False),
        ),
    ]
