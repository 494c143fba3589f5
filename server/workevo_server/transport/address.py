"""Where a server listens, and whether that leaves the machine."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

PORT_MAX = 65_535


class AddressInvalid(ValueError):
    """Carries a sentence for whoever started the server."""


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """From HOST:PORT, an IPv6 host in brackets. Raises AddressInvalid."""
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not (colon and host and port.isascii() and port.isdigit() and int(port) <= PORT_MAX):
            raise AddressInvalid(f"{text!r} is no address. Give HOST:PORT, for example 127.0.0.1:7575.")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def from_here(self) -> "Address":
        """Where this machine connects to what listens there: "all of them" is no place to go to."""
        every = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing listens because of it.
        return Address(every.get(self.host, self.host), self.port)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect; of names, localhost alone is taken to mean that."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def web_address(text: str) -> str:
    """Of what people open in a browser, without a slash at its end. Raises AddressInvalid."""
    try:
        url = urlsplit(text)
        is_one = url.scheme in {"http", "https"} and bool(url.hostname) and not (url.query or url.fragment)
    except ValueError:
        is_one = False
    if not (is_one and text.isprintable() and " " not in text):
        raise AddressInvalid(
            f"{text!r} is no address of a web server. Give one like https://events.example.org."
        )
    return text.rstrip("/")


ANY_PROXY = "*"


def proxy_addresses(text: str) -> list[str]:
    """Of `--trusted-proxies`: addresses and networks, or `ANY_PROXY` alone. Raises AddressInvalid."""
    parts = [part.strip() for part in text.split(",")]
    if parts == [ANY_PROXY]:
        return parts
    for part in parts:
        try:
            ipaddress.ip_network(part)
        except ValueError:
            raise AddressInvalid(
                f"{part!r} is no address or network of a proxy. Give some like 10.0.0.5 or 10.0.0.0/8 with "
                f"commas between, or {ANY_PROXY} for whoever connects."
            ) from None
    return parts
