import pytest

from workevo_server.domain.origins import origin_of


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://example.org", "https://example.org"),
        (" HTTPS://Example.ORG/ ", "https://example.org"),
        ("https://example.org:443", "https://example.org"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
    ],
)
def test_an_origin_is_told_as_browsers_send_it(text: str, origin: str) -> None:
    assert origin_of(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "*",
        "example.org",
        "https://",
        "https://*.example.org",
        "https://example.org/shop",
        "https://example.org?a",
        "https://example.org#a",
        "https://user@example.org",
        "https://example.org:port",
        "https://bücher.example",
        "ftp://example.org",
        "file:///etc",
        "https://a b",
        "https://[::1",
    ],
)
def test_what_is_no_origin_of_a_page_is_none(text: str) -> None:
    assert origin_of(text) is None
