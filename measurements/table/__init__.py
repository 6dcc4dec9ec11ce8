"""Energy tables: runs, checks, and the cells between the measured ones."""
