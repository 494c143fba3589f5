"""The client configuration as the device obeys it. Pure."""

import unicodedata
from datetime import timedelta

from workevo_mobile import limits
from workevo_mobile.client_config import ClientConfig
from workevo_mobile.drop_reason import DropReason
from workevo_mobile.moments import Moment, elapsed


def name_key(name: str) -> str:
    """Two spellings are one name when this makes them equal (R1)."""
    folded = unicodedata.normalize("NFC", name.strip()).casefold()
    return unicodedata.normalize("NFC", folded)


class Orders:
    """A configuration as obeyed; `told` is when the server last said it, or that nothing had changed."""

    def __init__(self, config: ClientConfig, told: Moment) -> None:
        self.config = config
        self._told = told
        self._reasons = {name_key(name): DropReason.DISABLED for name in config.disabled_names}
        self._reasons |= {name_key(name): DropReason.ARCHIVED for name in config.archived_names}

    @property
    def version(self) -> str:
        return self.config.version

    def reason_not_to_send(self, name: str, now: Moment) -> DropReason | None:
        """Only while the configuration is under 24 hours old (R23), and never when no clock can tell."""
        reason = self._reasons.get(name_key(name))
        if reason is None:
            return None
        age = elapsed(self._told, now)
        return reason if age is not None and age < limits.CONFIG_AGE_MAX else None

    @property
    def flush_event_count(self) -> int | None:
        count = self.config.flush_event_count
        return min(count, limits.UPLOAD_EVENTS_MAX) if count > 0 else None

    @property
    def flush_interval(self) -> timedelta | None:
        """At least a second, at most an hour: a wrong one must not silence a released app for ever."""
        if self.config.flush_interval_millis <= 0:
            return None
        asked = timedelta(milliseconds=min(self.config.flush_interval_millis, 2**40))
        return min(max(asked, limits.RETRY_DELAY_MIN), limits.SERVER_DELAY_MAX)

    @property
    def upload_events_max(self) -> int:
        return _narrowed(self.config.upload_events_max, limits.UPLOAD_EVENTS_MAX)

    @property
    def upload_bytes_max(self) -> int:
        return _narrowed(self.config.upload_bytes_max, limits.UPLOAD_BYTES_MAX)

    @property
    def event_bytes_max(self) -> int:
        return _narrowed(self.config.event_bytes_max, limits.EVENT_BYTES_MAX)


def _narrowed(told: int, own: int) -> int:
    return min(told, own) if told > 0 else own


NO_ORDERS = Orders(ClientConfig(), Moment(0, None, ""))
