"""The verbs of `zoneband`, one module each."""
