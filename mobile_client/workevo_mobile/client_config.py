"""What the workspace asks of its devices (`client_config`). Pure."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """As told; 0 and empty where the server said nothing. How much of it is obeyed: `orders`."""

    version: str = ""
    archived_names: tuple[str, ...] = ()
    disabled_names: tuple[str, ...] = ()
    flush_event_count: int = 0
    flush_interval_millis: int = 0
    upload_events_max: int = 0
    upload_bytes_max: int = 0
    event_bytes_max: int = 0

    def to_text(self) -> str:
        return json.dumps(asdict(self))


def config_from_text(text: str) -> ClientConfig | None:
    """None when it is damaged: then the device has none, and the server sends it again."""
    try:
        fields = json.loads(text)
        for key in ("archived_names", "disabled_names"):
            fields[key] = tuple(fields[key])
        return ClientConfig(**fields)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
