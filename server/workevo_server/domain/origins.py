"""Web origins: which pages a browser key serves (R30). https://www.rfc-editor.org/rfc/rfc6454"""

from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


def origin_of(text: str) -> str | None:
    """As a browser sends it in its `Origin` header; None for what is no origin of a web page."""
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or not _is_bare(text, parts.netloc):
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + ("" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}")


def _is_bare(text: str, netloc: str) -> bool:
    """Nothing but a scheme, a host in ASCII and a port: no user, path, query or wildcard."""
    after = text.strip().partition("://")[2]
    return after.rstrip("/") == netloc and netloc.isascii() and not set(netloc) & set("@*\\ ")
