"""What columns are called that say the same, which of them matter, and which rows are wanted."""
