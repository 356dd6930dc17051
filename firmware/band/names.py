# Compiling puts the names of modules that are loaded after a start into this one
# (host/zoneband/flash/names.py).
