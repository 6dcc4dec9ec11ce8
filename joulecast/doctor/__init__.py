"""What a bug report should say of a machine."""
