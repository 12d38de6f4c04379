"""What PostgreSQL alone knows: its clock, locked rows, migrations that lock none for long."""
