"""`python -m fastloss` is the command line."""

from fastloss.cli import main

main()
