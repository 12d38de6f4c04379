"""Which deployments a list shows, and how much of them."""
