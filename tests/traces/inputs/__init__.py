"""What may be given as a trace."""
