"""What the settings take from the environment's variables, each judged before it is used."""
