"""Holds the tracing server's answer against the truth of the story."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zoneband.demo.picture import WINDOW_S, Row
from zoneband.demo.story import Actor, Story, Verdict
from zoneband.i18n import _
from zoneband.tracing import words


@dataclass(frozen=True)
class Outcome:
    """Rows for the picture and what the trace got wrong, one line each."""

    rows: list[Row]
    mistakes: list[str]


def compare(story: Story, trace: Mapping[str, Any]) -> Outcome:
    """Compare a trace (as the server's endpoint answers) of the story's case with the story."""
    contacts = {c["serial"]: c for c in trace["contacts"]}
    rows: list[Row] = []
    mistakes: list[str] = []
    known = {actor.serial for actor in story.actors}
    for serial in contacts.keys() - known:
        mistakes.append(_("{serial} is nobody of this story").format(serial=serial))
    for actor in story.actors[1:]:
        contact = contacts.get(actor.serial)
        rows.append(_row(story, actor, contact))
        called = bool(contact and contact["must_call"])
        if actor.verdict is Verdict.MUST_CALL and not called:
            mistakes.append(_("{name} must be called and is not").format(name=actor.name))
        if actor.verdict is Verdict.MUST_NOT and called:
            mistakes.append(_("{name} need not be called and is").format(name=actor.name))
        if contact is not None:
            mistakes += _impossible(story, actor, contact)
    # An answer that lacks a file of records proves nothing.
    mistakes += [words.note(e) for e in trace["notes"] if e["code"].startswith("segment_")]
    return Outcome(rows, mistakes)


def _impossible(story: Story, actor: Actor, contact: Mapping[str, Any]) -> list[str]:
    """What no radio can have heard: more minutes than the two were within its reach."""
    reach = story.minutes_within(story.case, actor, 60)
    if contact["total_min"] > reach + 10:
        return [
            _("{name} is heard for {heard} min, but was in reach for {true}").format(
                name=actor.name, heard=round(contact["total_min"]), true=round(reach)
            )
        ]
    return []


def _row(story: Story, actor: Actor, contact: Mapping[str, Any] | None) -> Row:
    count = story.end_s // WINDOW_S
    metres: list[float | None] = []
    for i in range(count):
        middle = i * WINDOW_S + WINDOW_S // 2
        docked = actor.docked_s is not None and actor.docked_s[0] <= middle < actor.docked_s[1]
        metres.append(None if docked else story.metres(story.case, actor, middle))
    answers = [0] * count
    for window in contact["windows"] if contact else ():
        i = (window["start_s"] - story.start_utc_s) // WINDOW_S
        if 0 <= i < count:
            answers[i] = max(answers[i], 2 if window["near"] else 1)
    call = bool(contact and contact["must_call"])
    if actor.venue:
        words = _("the place")
    elif call:
        words = _("CALL")
    else:
        words = _("need not be called")
    return Row(
        actor.name,
        actor.part,
        tuple(metres),
        tuple(answers),
        contact["near_min"] if contact else 0,
        contact["total_min"] if contact else 0,
        words,
        call,
    )
