"""What is read aloud before a band is handed out, and what a person answered.

The texts are in the person's language, not in the program's, and belong to their version: whoever
changes a word gives them a new one. All three are read in 30 seconds.
"""

from collections.abc import Collection
from dataclasses import dataclass

from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _

VERSION = "2026-11"
LANGUAGES = ("vi", "en")
# Without this one there is no band.
TRACE = "trace"
# Without this one no phone number is kept.
CALL = "call"
STATISTICS = "statistics"
PURPOSES = (TRACE, CALL, STATISTICS)

# Above a text while it is read: what it asks for.
TITLES = {
    "vi": {TRACE: "truy vết", CALL: "gọi điện", STATISTICS: "thống kê"},
    "en": {TRACE: "trace", CALL: "call", STATISTICS: "statistics"},
}
TEXTS = {
    "vi": {
        TRACE: "Vòng tay này ghi lại số của các vòng khác ở gần, không ghi tên ai. "
        "Nếu có người mắc bệnh, cơ quan y tế sẽ biết người đó đã gặp những ai để báo cho họ. "
        "Ông bà có thể trả vòng bất cứ lúc nào. Ông bà có đồng ý đeo vòng không?",
        CALL: "Khi cần, cơ quan y tế có được gọi điện cho ông bà hoặc người thân không?",
        STATISTICS: "Vòng của ông bà có được tính vào số liệu chung, không nêu tên, không?",
    },
    "en": {
        TRACE: "This band keeps the numbers of other bands nearby, and nobody's name. "
        "If somebody falls ill, the health authority learns whom they met, to warn them. "
        "You may give the band back at any time. Do you agree to wear it?",
        CALL: "May the health authority phone you or your relative when it needs to?",
        STATISTICS: "May your band be counted in general figures that name nobody?",
    },
}


@dataclass(frozen=True)
class Consent:
    """A person's answer for one purpose; language: the one the text was read in."""

    purpose: str
    version: str
    language: str
    given: bool
    read_by: str


def answers(given: Collection[str], language: str, read_by: str) -> tuple[Consent, ...]:
    """An answer for every purpose, from those agreed to. Raises UserError when none of them lets a
    band be handed out."""
    for purpose in given:
        if purpose not in PURPOSES:
            raise UserError(
                _("{purpose} is no purpose of consent: {purposes}.").format(
                    purpose=purpose, purposes=", ".join(PURPOSES)
                ),
                ExitCode.USAGE,
            )
    if TRACE not in given:
        raise UserError(
            _("Without consent to tracing no band is handed out. Nothing was recorded.")
        )
    return tuple(
        Consent(purpose, VERSION, language, purpose in given, read_by) for purpose in PURPOSES
    )
