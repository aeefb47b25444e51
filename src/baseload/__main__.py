"""`python -m baseload`. Acts."""

from baseload.cli.main import main

main()
