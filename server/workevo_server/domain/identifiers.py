"""The ids that the words of the house stand for, each its own type."""

from typing import NewType

WorkspaceId = NewType("WorkspaceId", str)
"""Public name of a tenant; opaque."""

InstallId = NewType("InstallId", str)
"""As the device sent it, compared exactly."""

ContactId = NewType("ContactId", str)
"""Public name of a contact; opaque, and the same through every merge."""

NameKey = NewType("NameKey", str)
"""An event name or metadata key as R1 compares it; see `naming.name_key`."""
