"""The certificate and key that every door uses, and how a door says that it cannot open."""

from dataclasses import dataclass
from pathlib import Path

NO_PEM = "The files of --tls-cert and --tls-key must hold a certificate chain and its private key, as PEM."


class ServerRefused(Exception):
    """The server cannot listen as asked; carries a sentence for whoever started it."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    certificate: Path
    key: Path
