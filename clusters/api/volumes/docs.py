"""What Swagger says of the volume calls."""

from mlops_platform.api.schema import Doc, error

TAKEN = error("Name taken, or too many", "name_taken", "There is a volume datasets already.")
IN_USE = error(
    "Still mounted, or offered by an operator",
    "volume_in_use",
    "0199d1c5-3f10-7e42-8a6b-9c0d51e27f34 mounts the volume: wait for the end, or stop first.",
)

VOLUMES = {
    "list": Doc("volumes", "The volumes that a cluster offers its deployments"),
    "create": Doc(
        "volumes",
        "Offer a volume",
        "A deployment mounts it by its name. Folders of the nodes (HOST_PATH) and of file servers "
        "(NFS) are offered by operators, in the admin. Only nodes with one of `node_names` and all "
        "labels of `node_selector` have the volume, where these are given: what mounts it starts "
        "nowhere else.",
        answers={409: TAKEN},
    ),
    "retrieve": Doc("volumes", "One volume"),
    "partial_update": Doc(
        "volumes",
        "Change a volume",
        "What is not given stays as it is. Running containers keep what they have mounted, as it "
        "is: a change counts from the next starts on. The source can change only while no "
        "deployment that has not ended mounts the volume.",
        answers={409: IN_USE},
    ),
    "destroy": Doc(
        "volumes",
        "Withdraw a volume",
        "What is in it stays where it is. Not while a deployment that has not ended mounts it.",
        answers={409: IN_USE},
    ),
}
