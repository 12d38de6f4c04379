"""The names in a deployment's column `whole`, which is empty but for one that takes whole nodes.

EXCLUSIVE: each replica takes a whole node. ALL_GPUS: it takes all GPUs of its node. From its start
on the columns of the request are what each replica was given, and `whole` has what the deployment
ASKED for, by the names of those columns. Once it waits again, the columns are what it asks for, and
`whole` has what it was GIVEN last.
"""

EXCLUSIVE, ALL_GPUS, ASKED, GIVEN = "exclusive", "all_gpus", "asked", "given"
