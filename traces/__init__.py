"""What was asked: request lengths in, a `Workload` out."""
