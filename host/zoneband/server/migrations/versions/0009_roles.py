"""Accounts have roles; a case is declared with a code, and confirmed by somebody else."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """What each column means stands in zoneband.server.ledger. Accounts of before may do what they
    could: declare cases by themselves, and trace."""
    with op.batch_alter_table("tracers") as table:
        table.add_column(
            sa.Column("roles", sa.String, nullable=False, server_default="health tracer")
        )
    with op.batch_alter_table("tracers") as table:
        table.alter_column("roles", server_default=None)
    with op.batch_alter_table("cases") as table:
        table.add_column(sa.Column("declared_by", sa.String))
        table.add_column(sa.Column("confirmed_by", sa.String))
        table.add_column(sa.Column("confirmed_s", sa.BigInteger))
    op.create_table(
        "case_codes",
        sa.Column("code_sha256", sa.String, primary_key=True),
        sa.Column("given_by", sa.String, nullable=False),
        sa.Column("given_s", sa.BigInteger, nullable=False),
        sa.Column("expires_s", sa.BigInteger, nullable=False),
        sa.Column("case_number", sa.Integer),
    )


def downgrade() -> None:
    """Accounts that may not trace end: an older program would let them."""
    op.execute(
        "DELETE FROM sessions WHERE tracer IN "
        "(SELECT name FROM tracers WHERE roles NOT LIKE '%tracer%')"
    )
    op.execute("DELETE FROM tracers WHERE roles NOT LIKE '%tracer%'")
    op.drop_table("case_codes")
    with op.batch_alter_table("cases") as table:
        for name in ("declared_by", "confirmed_by", "confirmed_s"):
            table.drop_column(name)
    with op.batch_alter_table("tracers") as table:
        table.drop_column("roles")
