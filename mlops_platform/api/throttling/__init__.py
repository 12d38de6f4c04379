"""How much a client may ask: how often (`throttles`), and how much at the same time (`concurrency`
in all processes together, `slots` in one). `addresses` says which requests come from one client."""
