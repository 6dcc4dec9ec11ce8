"""What serving requests over time came to, as an estimate says it."""
