"""Addresses as an operator gives them: where a server listens, and where people find it."""

import pytest

from workevo_server.transport.address import Address, AddressInvalid, proxy_addresses, web_address


@pytest.mark.parametrize(
    ("listening", "found_at"),
    [
        ("0.0.0.0:7576", "127.0.0.1:7576"),
        ("[::]:7576", "[::1]:7576"),
        ("192.0.2.1:7576", "192.0.2.1:7576"),
        ("events.example.org:80", "events.example.org:80"),
    ],
)
def test_what_listens_on_every_address_is_found_on_this_machine_s_own(listening: str, found_at: str) -> None:
    assert str(Address.parse(listening).from_here) == found_at


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ("https://events.example.org", "https://events.example.org"),
        ("https://events.example.org/", "https://events.example.org"),
        ("http://[::1]:7576/behind/a/path/", "http://[::1]:7576/behind/a/path"),
    ],
)
def test_a_web_address_loses_the_slash_at_its_end(told: str, address: str) -> None:
    assert web_address(told) == address


@pytest.mark.parametrize(
    "told",
    [
        "",
        "events.example.org",
        "127.0.0.1:7576",
        "ftp://example.org",
        "https://",
        "https://[",
        "https://a b",
        "https://example.org/?q=1",
        "https://example.org/#top",
        "https://example.org/\n",
    ],
)
def test_what_is_no_web_address_is_refused_with_a_sentence(told: str) -> None:
    with pytest.raises(AddressInvalid, match="Give one like https://"):
        web_address(told)


def test_proxies_are_addresses_and_networks_or_whoever_connects() -> None:
    assert proxy_addresses("127.0.0.1, ::1,10.0.0.0/8") == ["127.0.0.1", "::1", "10.0.0.0/8"]
    assert proxy_addresses("*") == ["*"]


@pytest.mark.parametrize(
    "told", ["", "proxy.example.org", "10.0.0.1,", "*,10.0.0.1", "10.0.0.1/8", "10.0.0.300"]
)
def test_a_proxy_that_could_never_connect_is_refused_with_a_sentence(told: str) -> None:
    with pytest.raises(AddressInvalid, match="no address or network of a proxy"):
        proxy_addresses(told)
