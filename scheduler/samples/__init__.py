"""How full each cluster was, minute by minute, so that no other system is needed for a curve."""
