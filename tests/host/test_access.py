"""The trial of the gate: nobody is answered who must not be; without the gate the trial fails."""

import pytest
from fastapi import Request

from zoneband.campaigns import access
from zoneband.campaigns.tally import Tally
from zoneband.server import gate, roles
from zoneband.server.signed import Doorkeeper

pytestmark = pytest.mark.timeout(300)


def trial() -> tuple[Tally, str]:
    tally, said = Tally("access", 3), list[str]()
    access.run(tally, 1, said.append)
    return tally, said[0]


def test_nobody_is_answered_who_must_not_be() -> None:
    tally, said = trial()
    assert tally.failures == 0, said
    assert tally.figures["endpoints"] > 40 and tally.figures["refused"] > 400


def test_without_the_role_check_the_trial_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "may", lambda _roles, _entry: True)
    tally, said = trial()
    assert tally.accepted_forgeries > 50 and "without the role" in said


def test_without_the_check_of_sessions_the_trial_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def anybody(_gate: gate.Gate, _request: Request) -> gate.Asker:
        return gate.Asker("anybody", frozenset(roles.ROLES))

    monkeypatch.setattr(gate.Gate, "_api", anybody)
    tally, said = trial()
    assert tally.accepted_forgeries > 50 and "(nobody)" in said


def test_without_the_memory_of_nonces_the_trial_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Doorkeeper, "_once", lambda *_values: b"")
    tally, said = trial()
    assert tally.accepted_forgeries and "replayed" in said


def test_a_server_that_refuses_everybody_fails_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "may", lambda _roles, _entry: False)
    tally, _said = trial()
    assert tally.lost > 50
