"""Stations have keys and come with codes; what they signed is taken once."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """What each column means stands in zoneband.server.ledger. Tokens of before open nothing any
    more: their stations are known by name only until they come with a code."""
    with op.batch_alter_table("stations") as table:
        table.drop_column("token_sha256")
        table.add_column(sa.Column("key_id", sa.String))
        table.add_column(sa.Column("public_key", sa.LargeBinary))
        table.add_column(sa.Column("enrolled_s", sa.BigInteger))
        table.add_column(sa.Column("revoked_s", sa.BigInteger))
    op.create_index("ix_stations_key_id", "stations", ["key_id"], unique=True)
    op.create_table(
        "station_codes",
        sa.Column("code_sha256", sa.String, primary_key=True),
        sa.Column("station", sa.String, nullable=False, index=True),
        sa.Column("group_names", sa.String, nullable=False),
        sa.Column("expires_s", sa.BigInteger, nullable=False),
        sa.Column("used_key_id", sa.String),
    )
    op.create_table(
        "station_nonces",
        sa.Column("mark", sa.LargeBinary(16), primary_key=True),
        sa.Column("created_s", sa.BigInteger, nullable=False, index=True),
    )


def downgrade() -> None:
    """Every station must register again: no SHA-256 is empty."""
    op.drop_table("station_nonces")
    op.drop_table("station_codes")
    op.drop_index("ix_stations_key_id", "stations")
    with op.batch_alter_table("stations") as table:
        for name in ("key_id", "public_key", "enrolled_s", "revoked_s"):
            table.drop_column(name)
        table.add_column(sa.Column("token_sha256", sa.String, nullable=False, server_default=""))
