"""How answers are made: pages, the order of commits, streams and renderers."""
