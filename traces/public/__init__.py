"""Public traces: the catalogue, fetching, the data sets and tasks of the paper."""
