"""The tracers' pages: HTML made on the server, in Vietnamese and English."""
