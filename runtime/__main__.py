"""`python -m scanside.runtime`: the command line, where the script is not on the PATH."""

from scanside.runtime.cli import main

main()
