"""What a container finds beside its image: mounts, scratch, hostfile, secrets."""
