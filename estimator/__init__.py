"""What a trace will cost: `Workload` x `EnergyTable` -> estimates, ideals, comparisons."""
