from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("clusters", "0021_room_for_versions"),
    ]

    operations = [
        migrations.AddField(
            model_name="volume",
            name="trusted",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.AlterField(
            model_name="volume",
            name="kind",
            field=models.CharField(
                choices=[
                    ("HOST_PATH", "A folder of the node"),
                    ("NFS", "A folder that a file server exports"),
                    ("DOCKER_VOLUME", "A volume of the Docker engine"),
                    ("PVC", "A PersistentVolumeClaim"),
                    ("S3", "Objects of an S3 bucket, fetched before each start"),
                ],
                max_length=16,
            ),
        ),
    ]
