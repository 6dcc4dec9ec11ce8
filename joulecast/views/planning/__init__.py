"""What plans show."""
