"""Steps that bring a ledger of an earlier program up to date (Alembic)."""
