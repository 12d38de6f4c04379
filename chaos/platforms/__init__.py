"""The suite's own platforms, each in a temporary folder: as `make run` and compose start them."""
