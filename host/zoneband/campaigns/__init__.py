"""Long trials of bands, docks and formats, each against what must never happen."""
