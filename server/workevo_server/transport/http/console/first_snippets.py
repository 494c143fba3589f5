"""What a newcomer pastes to send a first event: from a phone, a back end, a web page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workevo_server.ports.key_ring import KeyKind


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSnippet:
    title: str
    note: str
    code: str


def first_snippets(
    keys: Mapping[KeyKind, str], *, http: str, grpc: str, insecure: bool, page: str
) -> Sequence[FirstSnippet]:
    """With the keys filled in. `http` is a URL without a slash at its end, `grpc` HOST:PORT, `page` the
    browser's snippet; `insecure` where a phone would refuse to go without TLS unless told so."""
    words = {
        "SDK_KEY": keys[KeyKind.SDK],
        "SERVER_KEY": keys[KeyKind.SERVER],
        "GRPC_ADDRESS": grpc,
        "HTTP_URL": http,
        "INSECURE": ", insecure=True" if insecure else "",
    }
    return [
        FirstSnippet(
            title="From a phone",
            note="Python, the reference SDK; others by the contract.",
            code=_filled(_PHONE, words),
        ),
        FirstSnippet(title="From your servers", note="By REST, with curl.", code=_filled(_BACK_END, words)),
        FirstSnippet(
            title="From a web page",
            note="Into the page's head. The key serves the pages of its origin.",
            code=page.strip().replace("BROWSER_KEY", keys[KeyKind.BROWSER]).replace("</script>", _TRACKED),
        ),
    ]


def _filled(code: str, words: Mapping[str, str]) -> str:
    for word, text in words.items():
        code = code.replace(word, text)
    return code.strip()


_PHONE = """
from workevo_mobile import AppInfo, GrpcTransport, Tracker

tracker = Tracker(
    "queue.db",
    transport=GrpcTransport("GRPC_ADDRESS", key="SDK_KEY"INSECURE),
    app=AppInfo(platform="android", app_version="1.0.0"),
)
tracker.identify("user-1", attributes={"name": "Anna"})
tracker.track("invited-friend", {"channel": "mail"})
tracker.flush()
tracker.close()
"""

_BACK_END = """
curl HTTP_URL/contacts -H 'Authorization: Bearer SERVER_KEY' \\
  -H 'Content-Type: application/json' -d '{"role": "user", "external_id": "user-1", "name": "Anna"}'
curl HTTP_URL/events -H 'Authorization: Bearer SERVER_KEY' \\
  -H 'Content-Type: application/json' -d '{"user_id": "user-1", "event_name": "invited-friend"}'
"""

_TRACKED = """Workevo("trackEvent", "invited-friend", { channel: "mail" });
</script>"""
