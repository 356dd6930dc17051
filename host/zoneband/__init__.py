"""Zoneband's host tool: docks bands, carries their logs to the tracing server, answers traces."""

__version__ = "0.1.0"
