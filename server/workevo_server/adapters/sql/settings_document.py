"""A workspace's settings as the JSON that the store keeps."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from workevo_server.domain.workspace import (
    IdentityVerification,
    KeyCharset,
    SameInstallTwins,
    WorkspaceSettings,
)

_SECOND = timedelta(seconds=1)


def settings_to_plain(settings: WorkspaceSettings) -> dict[str, Any]:
    return {
        "key_charset": settings.key_charset.value,
        "metadata_keys_max": settings.metadata_keys_max,
        "product_identity_window_seconds": settings.product_identity_window // _SECOND,
        "same_install_twins": settings.same_install_twins.value,
        "event_names_max": settings.event_names_max,
        "identity_verification": settings.identity_verification.value,
        "create_unknown_users": settings.create_unknown_users,
        "failed_events_age_seconds": settings.failed_events_age // _SECOND,
        "failed_events_bytes_max": settings.failed_events_bytes_max,
        "event_retention_seconds": (settings.event_retention or timedelta()) // _SECOND,
        "flush_event_count": settings.flush_event_count,
        "flush_interval_seconds": settings.flush_interval // _SECOND,
        "rest_rate_limit": settings.rest_rate_limit,
    }


def settings_from_plain(kept: Mapping[str, Any]) -> WorkspaceSettings:
    """What a release of before did not know has its default."""
    plain = settings_to_plain(WorkspaceSettings()) | dict(kept)
    return WorkspaceSettings(
        key_charset=KeyCharset(plain["key_charset"]),
        metadata_keys_max=plain["metadata_keys_max"],
        product_identity_window=timedelta(seconds=plain["product_identity_window_seconds"]),
        same_install_twins=SameInstallTwins(plain["same_install_twins"]),
        event_names_max=plain["event_names_max"],
        identity_verification=IdentityVerification(plain["identity_verification"]),
        create_unknown_users=plain["create_unknown_users"],
        failed_events_age=timedelta(seconds=plain["failed_events_age_seconds"]),
        failed_events_bytes_max=plain["failed_events_bytes_max"],
        event_retention=timedelta(seconds=plain["event_retention_seconds"]) or None,
        flush_event_count=plain["flush_event_count"],
        flush_interval=timedelta(seconds=plain["flush_interval_seconds"]),
        rest_rate_limit=plain["rest_rate_limit"],
    )
