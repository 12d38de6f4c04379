"""Names of clusters, within their organization, are unique without regard to letter case.

Of those whose names differ in that alone the oldest keeps its name: `West` beside an older `west`
becomes `West (2)`, or where that is taken too, `West` with the end of its id.
"""

import django.db.models.functions.text
from django.db import migrations, models

DOUBLES = """
  FROM (SELECT id, row_number() OVER (PARTITION BY organization_id, lower(name) ORDER BY id) AS number
          FROM clusters_cluster WHERE deleted_at IS NULL) double
 WHERE double.id = named.id AND double.number > 1
"""
NUMBERED = f"""
UPDATE clusters_cluster named SET name = named.name || ' (' || double.number || ')'
{DOUBLES} AND length(named.name) <= 90
   AND NOT EXISTS (SELECT FROM clusters_cluster same
                    WHERE same.organization_id = named.organization_id AND deleted_at IS NULL
                      AND lower(same.name) = lower(named.name || ' (' || double.number || ')'))
"""  # noqa: S608  # of constants
BY_ID = f"""
UPDATE clusters_cluster named
   SET name = left(named.name, 80) || ' (' || right(named.id::text, 12) || ')'
{DOUBLES}
"""  # noqa: S608  # of constants


class Migration(migrations.Migration):
    atomic = False  # no row stays locked while the index is made

    dependencies = [
        ("clusters", "0025_nodes_by_image"),
    ]

    operations = [
        migrations.RunSQL(NUMBERED, migrations.RunSQL.noop, elidable=True),
        migrations.RunSQL(BY_ID, migrations.RunSQL.noop, elidable=True),
        # What an attempt may have left that a new double has ended.
        migrations.RunSQL(
            "DROP INDEX CONCURRENTLY IF EXISTS cluster_name_unique_in_any_case",
            migrations.RunSQL.noop,
            elidable=True,
        ),
        migrations.AddConstraint(
            model_name="cluster",
            constraint=models.UniqueConstraint(
                models.F("organization"),
                django.db.models.functions.text.Lower("name"),
                condition=models.Q(("deleted_at", None)),
                name="cluster_name_unique_in_any_case",
                violation_error_message="The organization has a cluster of that name already.",
            ),
        ),
        migrations.RemoveConstraint(model_name="cluster", name="cluster_name_unique"),
    ]
