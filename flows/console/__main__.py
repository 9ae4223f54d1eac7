"""`python -m flows.console`, which is the same as `derain`."""

from flows.console.app import main

main()
