"""Every setting of a workspace is kept, and one of an earlier release has its default."""

from dataclasses import fields, replace
from datetime import timedelta
from enum import Enum
from typing import Any

import pytest

from workevo_server.adapters.sql.settings_document import settings_from_plain, settings_to_plain
from workevo_server.domain.workspace import WorkspaceSettings

DEFAULTS = WorkspaceSettings()


def another(value: Any) -> Any:
    """A value of the same type that is not this one."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case timedelta():
            return value + timedelta(seconds=1)
        case None:
            return timedelta(days=1)
        case Enum():
            return next(each for each in type(value) if each is not value)
        case _:
            raise AssertionError(f"Say here what another {type(value).__name__} is.")


@pytest.mark.parametrize("name", [field.name for field in fields(WorkspaceSettings)])
def test_a_setting_that_was_changed_is_kept(name: str) -> None:
    changed = replace(DEFAULTS, **{name: another(getattr(DEFAULTS, name))})

    assert settings_from_plain(settings_to_plain(changed)) == changed != DEFAULTS


def test_a_setting_that_an_earlier_release_did_not_know_has_its_default() -> None:
    assert settings_from_plain({"metadata_keys_max": 7}) == WorkspaceSettings(metadata_keys_max=7)
