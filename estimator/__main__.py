"""`python -m estimator` is `joulecast`."""

from estimator.cli import main

main(prog_name="joulecast")
