# What runs: major, minor, patch. A release of another version changes it here first.

VERSION = (0, 1, 0)
