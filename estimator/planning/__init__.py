"""Which of many fleets serves a trace in time with the fewest GPUs, joules or euros."""
