"""What the commands that regenerate the paper's tables show."""
