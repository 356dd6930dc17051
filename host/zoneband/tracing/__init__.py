"""The exposure rule and the query behind it."""
