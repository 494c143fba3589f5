"""Where a server listens, and whether that leaves the machine."""

import ipaddress
from dataclasses import dataclass

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
    def is_loopback(self) -> bool:
        """Whether only this machine can connect; of names, localhost alone is taken to mean that."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
