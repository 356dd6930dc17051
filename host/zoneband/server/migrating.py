"""Bringing a ledger from one program's form to another's, by Alembic over migrations/."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from zoneband.errors import UserError
from zoneband.i18n import _
from zoneband.server import ledger


def migrate(db: Connection, directory: Path, revision: str = "head") -> None:
    """Bring a ledger to some revision, up or down, inside the caller's transaction. Raises
    UserError when a newer program wrote it."""
    known = revisions()
    found = ledger.revision(db)
    if found is not None and found not in known:
        raise UserError(
            _("The ledger in {path} is of a newer program. Update this one.").format(path=directory)
        )
    config = _config()
    config.attributes["connection"] = db
    config.attributes["directory"] = directory
    wanted = known[0] if revision == "head" else revision
    # From the newest to the oldest.
    order = [*known, "base"]
    older = found is not None and order.index(found) < order.index(wanted)
    (command.downgrade if older else command.upgrade)(config, revision)


def revisions() -> list[str]:
    """All that this program knows, the newest first."""
    scripts = ScriptDirectory.from_config(_config())
    return [script.revision for script in scripts.walk_revisions()]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "zoneband.server:migrations")
    return config
