"""Docking: find a band's port, greet it, pull its log, set its clock, hand receipts back."""
