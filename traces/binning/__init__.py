"""One query makes a workload of a trace, on DuckDB, Spark or a database."""
