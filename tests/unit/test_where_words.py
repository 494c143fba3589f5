"""Every finding has words of its own, certain or not, whatever of it is known."""

import itertools
import re
from types import SimpleNamespace

import pytest

from workevo_server.domain.events import ContactKind, DropReason
from workevo_server.domain.identifiers import ContactId
from workevo_server.domain.ledger import ARCHIVED, STORED, Ledger
from workevo_server.domain.verdicts import Reason
from workevo_server.domain.whereabouts import FindingKind
from workevo_server.ports.delivery import InstallRecord
from workevo_server.ports.people import Contact
from workevo_server.services.whereabouts import Finding
from workevo_server.transport.http.console import meanings
from workevo_server.transport.http.console.rendering import Templates
from workevo_server.transport.http.console.static_files import StaticFiles
from workevo_testing.uploads import PHONE

TEMPLATES = Templates(StaticFiles(), version="test")
TOLD = """{% import "where_parts.html" as told with context %}{{ told.finding(f) }}{{ told.brief(f) }}"""
INSTALL = InstallRecord(
    install_no=1,
    install=PHONE,
    first_seen_micros=1,
    last_seen_micros=2,
    ledgers=[(PHONE.epoch, Ledger(generated=9))],
    queue_count=1,
)
PERSON = Contact(contact_id=ContactId("c1"), kind=ContactKind.USER, user_id="ada", visitor_ids=())


def shown(finding: Finding) -> str:
    context = {
        "f": finding,
        "asked": SimpleNamespace(install="phone"),
        "meanings": meanings,
        "Kind": FindingKind,
    }
    return TEMPLATES._environment.from_string(TOLD).render(context)


@pytest.mark.parametrize("kind", FindingKind)
def test_every_finding_has_words_however_much_is_known(kind: FindingKind) -> None:
    for is_certain, install, person, since in itertools.product(
        (True, False), (INSTALL, None), (PERSON, None), (1_000_000, None)
    ):
        finding = Finding(
            kind=kind,
            is_certain=is_certain,
            install=install,
            first_sequence=3,
            last_sequence=5,
            reason=Reason.NAME_INVALID,
            drop_reason=DropReason.EXPIRED,
            since_micros=since,
            may_be=(STORED, ARCHIVED),
            person=person,
        )

        page = shown(finding)

        headline = re.search(r"</span>\s*([^<]+)</h2>", page)
        assert headline is not None
        assert headline.group(1).strip()
        assert re.search(r"<p>[^<]*[A-Za-z]|<p><code>", page)


def test_what_is_not_certain_is_not_said_to_be() -> None:
    for kind in (FindingKind.OPEN, FindingKind.DROPPED, FindingKind.REJECTED, FindingKind.DUPLICATE):
        finding = Finding(kind=kind, is_certain=False, reason=Reason.NAME_INVALID)
        assert "may be" in shown(finding)


def test_every_reason_has_a_meaning() -> None:
    assert meanings.REASONS.keys() == set(Reason)
    assert meanings.DROPS.keys() == set(DropReason)
