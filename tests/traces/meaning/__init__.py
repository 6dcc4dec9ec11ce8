"""What columns and rows of logs mean."""
