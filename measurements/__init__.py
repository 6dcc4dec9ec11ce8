"""What a GPU spent: lengths and batch sizes in, an `EnergyTable` out."""
