"""What this package offers; importing it loads no torch."""
