"""The exposure rules held against public measurements of real people."""
