"""Where the device's time comes from."""

import random
import sys
import time
from pathlib import Path
from typing import Protocol

from workevo_mobile.moments import Moment

_KERNEL_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clocks(Protocol):
    """The three clocks of R8."""

    def wall_micros(self) -> int:
        """The wall clock: microseconds since 1970, UTC. May be wrong."""

    def uptime_millis(self) -> int | None:
        """Milliseconds since boot, sleep included, never going back; None when the device cannot tell."""

    def boot_id(self) -> str:
        """Another one after every boot. 1 to 255 code points."""


class SystemClocks:
    """The clocks of this machine.

    Where the kernel gives no boot id a random one stands for this process:
    uptimes of different processes are then never compared, which is safe.
    """

    def __init__(self) -> None:
        try:
            self._boot_id = _KERNEL_BOOT_ID.read_text(encoding="ascii").strip()
        except OSError:
            self._boot_id = f"{random.SystemRandom().getrandbits(128):032x}"

    def wall_micros(self) -> int:
        return time.time_ns() // 1000  # noqa: TID251  # This is the one place that reads it.

    def uptime_millis(self) -> int | None:
        if hasattr(time, "CLOCK_BOOTTIME"):  # Linux; its CLOCK_MONOTONIC stands still during sleep.
            return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
        if sys.platform == "darwin":  # Its CLOCK_MONOTONIC goes on in sleep, which time.monotonic does not.
            return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000_000
        return time.monotonic_ns() // 1_000_000

    def boot_id(self) -> str:
        return self._boot_id


def read_moment(clocks: Clocks) -> Moment:
    return Moment(clocks.wall_micros(), clocks.uptime_millis(), clocks.boot_id())
