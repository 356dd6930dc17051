"""A station's request is taken once, and a genuine one always, whatever is written meanwhile."""

import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, select

from bandbook import NOON
from zoneband.server import ledger
from zoneband.server.nonces import Nonces

KEY, NONCE = "k", "0123456789abcdef"


@pytest.fixture
def engine(tmp_path: Path) -> Generator[Engine]:
    made = ledger.open_ledger(tmp_path)
    yield made
    made.dispose()


def opened(engine: Engine) -> Nonces:
    return Nonces(engine, threading.RLock(), lambda: NOON)


def written(nonces: Nonces, engine: Engine) -> None:
    """What another upload's transaction does."""
    with engine.begin() as db:
        marks = nonces.write(db)
    nonces.written(marks)


def while_asked(engine: Engine, then: Callable[[], Any]) -> None:
    """Do something, in another thread, right before the ledger is asked for a nonce; once."""
    todo = [then]

    @event.listens_for(engine, "before_cursor_execute")
    def before(_db: Any, _cursor: Any, statement: str, *_more: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        if "station_nonces" in statement and todo:
            thread = threading.Thread(target=todo.pop())
            thread.start()
            thread.join()


def test_one_that_others_write_meanwhile_is_no_replay(engine: Engine) -> None:
    nonces = opened(engine)
    while_asked(engine, lambda: written(nonces, engine))
    mark = nonces.take(KEY, NONCE, NOON)
    assert mark is not None
    nonces.settle(mark)
    with engine.connect() as db:
        assert db.execute(select(ledger.station_nonces.c.mark)).scalars().all() == [mark]


def test_the_same_at_the_same_moment_is_a_replay(engine: Engine) -> None:
    nonces = opened(engine)
    second: list[bytes | None] = []
    while_asked(engine, lambda: second.append(nonces.take(KEY, NONCE, NOON)))
    assert nonces.take(KEY, NONCE, NOON) is not None and second == [None]
    assert nonces.take(KEY, NONCE, NOON) is None  # it waits
    written(nonces, engine)
    assert nonces.take(KEY, NONCE, NOON) is None  # it is in the ledger
    assert opened(engine).take(KEY, NONCE, NOON) is None  # after a restart


def test_a_request_of_which_the_ledger_could_not_be_asked_may_come_again(engine: Engine) -> None:
    nonces = opened(engine)

    @event.listens_for(engine, "before_cursor_execute", once=True)
    def before(*_words: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        raise OSError

    with pytest.raises(OSError):
        nonces.take(KEY, NONCE, NOON)
    assert nonces.take(KEY, NONCE, NOON) is not None
