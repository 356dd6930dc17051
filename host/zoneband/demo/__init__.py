"""The demonstration: a small story lived by virtual bands, then traced, then checked."""
