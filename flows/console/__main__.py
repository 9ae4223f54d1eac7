"""`python -m flows.console`: the same as `derain`."""

from flows.console.app import main

main()
