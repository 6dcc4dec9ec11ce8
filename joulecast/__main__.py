"""`python -m joulecast` is `joulecast`."""

from joulecast.cli.main import main

main(prog_name="joulecast")
