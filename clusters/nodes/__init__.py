"""What the models say of nodes: drains, and starts that fail there."""
