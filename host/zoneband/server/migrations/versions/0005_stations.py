"""Logs as each station brought them; marks that find their time when a clock point comes."""

import sqlalchemy as sa
from alembic import op

from zoneband.server import brought, kept_batches, spans
from zoneband.server.migrations import portable

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """What each column means stands in zoneband.server.ledger."""
    nothing = portable.blob(bytes(16))
    for name in ("proved", "doubted"):
        op.add_column(
            "slots", sa.Column(name, sa.LargeBinary, nullable=False, server_default=nothing)
        )
    # What was settled then stays so.
    op.execute("UPDATE slots SET proved = settled")
    for table in ("marks", "key_halves"):
        op.add_column(table, sa.Column("boot_id", sa.BigInteger))
        op.add_column(table, sa.Column("run_s", sa.Float))
    pieces = op.create_table(
        "pieces",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("station", sa.String, nullable=False),
        sa.Column("serial", sa.String, nullable=False),
        sa.Column("log_id", sa.BigInteger, nullable=False),
        sa.Column("sector", sa.BigInteger, nullable=False),
        sa.Column("slots", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("name", "sector"),
    )
    op.create_index("pieces_of_sectors", "pieces", ["serial", "log_id", "sector"])
    bind = op.get_bind()
    order = "came_s, name" if portable.is_postgresql() else "came_s, rowid"
    kept = bind.execute(
        sa.text(f"SELECT name, station, serial, log_id FROM batches ORDER BY {order}")
    ).mappings()
    for row in list(kept):
        found = [
            {**row, "sector": sector, "slots": spans.raw(mask)}
            for sector, mask in _brought(row["name"]).items()
        ]
        if found:
            op.bulk_insert(pieces, found)


def _brought(name: str) -> dict[int, int]:
    path = portable.directory() / "batches" / name
    try:
        return brought.spans(kept_batches.read(path).chunks)
    except (OSError, ValueError):
        return {}


def downgrade() -> None:
    """Batches stay, and what was proved of them."""
    op.drop_index("pieces_of_sectors", "pieces")
    op.drop_table("pieces")
    for table, names in (
        ("slots", ("proved", "doubted")),
        ("marks", ("boot_id", "run_s")),
        ("key_halves", ("boot_id", "run_s")),
    ):
        with op.batch_alter_table(table) as changed:
            for name in names:
                changed.drop_column(name)
