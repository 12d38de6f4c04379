"""What a start needs: room on the nodes, the image, and the launch spec with mounts and secrets."""
