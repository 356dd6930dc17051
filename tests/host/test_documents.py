"""What README.md and SECURITY.md point to is there."""

import re

import pytest

from support import ROOT

DOCUMENTS = ("README.md", "SECURITY.md")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r"(?m)^\[\w+\]: (\S+)", text)
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_every_test_that_a_claim_names_is_in_the_file_that_it_names() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    files = dict(re.findall(r"(?m)^\[(\w+)\]: (\S+\.py)", text))
    claims = set(re.findall(r"\[(test_\w+)\]\[(\w+)\]", text))
    assert len(claims) > 100
    for test, file in sorted(claims):
        assert re.search(rf"def {test}\b", (ROOT / files[file]).read_text(encoding="utf-8")), test
