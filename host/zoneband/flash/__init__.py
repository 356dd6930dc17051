"""Flashing: boards, images, partitions, keys, labels, and a tray of boards at once."""
