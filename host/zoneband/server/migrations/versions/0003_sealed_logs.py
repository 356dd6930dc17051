"""Sealed logs: what is wrong in a sector by its kind, declared losses, re-keyed bands."""

import sqlalchemy as sa
from alembic import op

from zoneband.server.migrations import portable

revision = "0003"
down_revision = "0002"

_COUNTS = ("torn", "altered", "missing", "foreign")


def upgrade() -> None:
    """What each column means stands in zoneband.server.ledger."""
    no = sa.false()
    nothing, every = portable.blob(bytes(16)), portable.blob(b"\xff" * 16)
    # The server gave receipts for all that it held: that stays so for what it held then.
    for name, value in (("held", every), ("settled", every), ("wrong", nothing)):
        op.add_column(
            "slots", sa.Column(name, sa.LargeBinary, nullable=False, server_default=value)
        )
    for name in _COUNTS:
        op.add_column("slots", sa.Column(name, sa.Integer, nullable=False, server_default="0"))
    op.add_column("slots", sa.Column("sealed", sa.Boolean, nullable=False, server_default=no))
    op.add_column("slots", sa.Column("chosen", sa.LargeBinary))
    op.execute("UPDATE slots SET altered = bad")
    with op.batch_alter_table("slots") as table:
        table.drop_column("bad")
    op.add_column("bands", sa.Column("log_format", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "losses",
        sa.Column("serial", sa.String, primary_key=True),
        sa.Column("log_id", sa.BigInteger, primary_key=True),
        sa.Column("first", sa.BigInteger, primary_key=True),
        sa.Column("end", sa.BigInteger, primary_key=True),
        sa.Column("reason", sa.Integer, nullable=False),
    )
    op.create_table(
        "resends",
        sa.Column("serial", sa.String, primary_key=True),
        sa.Column("log_id", sa.BigInteger, primary_key=True),
        sa.Column("cursor", sa.BigInteger, primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
    )
    op.create_table(
        "key_halves",
        sa.Column("serial", sa.String, primary_key=True),
        sa.Column("log_id", sa.BigInteger, primary_key=True),
        sa.Column("cursor", sa.BigInteger, primary_key=True),
        sa.Column("half", sa.Integer, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("utc_s", sa.BigInteger),
    )
    op.create_table(
        "chains",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("band", sa.Integer, nullable=False, index=True),
        sa.Column("base_day", sa.Integer, nullable=False),
        sa.Column("base_key", sa.LargeBinary, unique=True, nullable=False),
        sa.Column("from_s", sa.BigInteger),
    )
    # The same numbers: what segments.tried says stays true.
    op.execute(
        "INSERT INTO chains (id, band, base_day, base_key) "
        "SELECT id, id, base_day, base_key FROM bands"
    )


def downgrade() -> None:
    """Batches that came stay; records under new keys are nobody's again."""
    for table in ("chains", "key_halves", "resends", "losses"):
        op.drop_table(table)
    op.drop_column("bands", "log_format")
    op.add_column("slots", sa.Column("bad", sa.Integer, nullable=False, server_default="0"))
    op.execute("UPDATE slots SET bad = altered")
    with op.batch_alter_table("slots") as table:
        for name in (*_COUNTS, "held", "settled", "wrong", "sealed", "chosen"):
            table.drop_column(name)
