# Compiling puts the names of every module into this one (host/zoneband/flash/names.py).
