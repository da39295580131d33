"""`python -m flows.cli` is `carillon`."""

from flows.cli import main

main(prog_name="carillon")
