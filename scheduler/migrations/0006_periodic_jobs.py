from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("scheduler", "0005_table_storage"),
    ]

    operations = [
        migrations.CreateModel(
            name="PeriodicJob",
            fields=[
                ("name", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("next_at", models.DateTimeField()),
            ],
        ),
        migrations.AlterField(
            model_name="schedulingcycle",
            name="trigger",
            field=models.CharField(
                choices=[
                    ("SUBMITTED", "Submitted"),
                    ("STOPPED", "Stopped"),
                    ("FINISHED", "Finished"),
                    ("CHANGED", "Changed"),
                    ("OPERATOR", "Operator"),
                    ("SWEEP", "Sweep"),
                    ("TIMER", "A moment came at which it could decide differently"),
                    ("CONTINUED", "Went on from the cycle before"),
                ],
                max_length=10,
            ),
        ),
    ]
