"""Making the runs of a plan, and keeping every one of them."""
