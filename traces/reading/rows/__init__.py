"""What rows stand for: requests, sums or parts of them, or none; and what was read, in words."""
