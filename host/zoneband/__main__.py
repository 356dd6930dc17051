"""`python -m zoneband`."""

from zoneband.cli.main import main

main()
