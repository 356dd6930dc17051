"""Groups of bands, and orders to bands."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """What each column means stands in zoneband.server.ledger."""
    op.create_table(
        "groups",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("name", sa.String, unique=True, nullable=False),
        sa.Column("created_s", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "group_keys",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("generation", sa.Integer, primary_key=True),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("created_s", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "station_groups",
        sa.Column("station", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("place", sa.Integer, nullable=False),
    )
    # Group 1 is made at the server's start; who registered before serves it.
    op.execute("INSERT INTO station_groups SELECT name, 1, 0 FROM stations")
    op.create_table(
        "orders",
        sa.Column("serial", sa.String, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("made_s", sa.BigInteger, nullable=False),
        sa.Column("done_s", sa.BigInteger),
    )
    for name in ("group_number", "group_generation"):
        op.add_column("bands", sa.Column(name, sa.Integer, nullable=False, server_default="1"))


def downgrade() -> None:
    """Bands keep the dock keys they have."""
    for name in ("group_number", "group_generation"):
        op.drop_column("bands", name)
    for table in ("orders", "station_groups", "group_keys", "groups"):
        op.drop_table(table)
