"""What a fleet lives through: a TOML file, of which some ship as named presets."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from workevo_simulator.errors import ScenarioUnusable
from workevo_simulator.limits import LOSS_SHARE_MAX

Rate = Annotated[float, msgspec.Meta(ge=0, le=500)]
"""Mean number of times; the unit is in the field's name."""
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Loss = Annotated[float, msgspec.Meta(ge=0, le=LOSS_SHARE_MAX)]

T = TypeVar("T")


# A key that nobody knows is refused everywhere, lest a typing error pass for a choice.


class Network(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How well a device is connected. What is left of the day it is online."""

    tunnels_per_day: Rate = 0
    """Offline for one to five minutes, while the app is in use."""
    flights_per_week: Rate = 0
    """Offline for two to twelve hours."""
    offline_nights: Share = 0
    """Of the nights: no network from bed to breakfast."""
    flapping_per_day: Rate = 0
    """Half an hour in which the network comes and goes every few seconds."""
    slow_per_day: Rate = 0
    """An hour in which a call takes seconds, and some longer than the device waits."""
    lost_requests: Loss = 0
    """Of the calls, before they reach the server."""
    lost_answers: Loss = 0
    """Of the answers, on their way back."""
    duplicated: Share = 0
    """Of the requests: the network delivers them twice."""
    tells_app: Share = 1
    """Of the devices: the platform tells the app when the network comes and goes."""


class Clock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far a device's wall clock can be believed. Its uptime is right wherever it has one."""

    wrong: Share = 0
    """Of the devices: off by minutes to years from the start."""
    jumps_per_week: Rate = 0
    """Set by its owner to some other time, and mostly back again within a day."""
    lost_on_reboot: Share = 0
    """Of the devices: each boot begins at the turn of 2015, until a network tells the time."""
    no_uptime: Share = 0
    """Of the devices: none that an app can read."""


class Faults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What else happens to a device."""

    reboots_per_week: Rate = 0.5
    kills_per_week: Rate = 0
    """The system ends the app at any point; the queue file stays."""
    full_disks_per_week: Rate = 0
    """No commit succeeds, for minutes to hours."""
    reinstalls_per_week: Rate = 0
    """The queue goes with the app; what it held is lost for good."""
    restores_per_week: Rate = 0
    """Yesterday's queue file comes back from a backup onto the same phone."""
    clones: Share = 0
    """Of the devices: one day a second phone is set up from this one's backup, and both go on."""
    marker: Share = 0.5
    """Of the devices: keep a marker outside backups, by which a restored queue is known at once (R14a)."""
    small_queue: Share = 0
    """Of the devices: an app that keeps 12 events at most."""
    opt_outs_per_week: Rate = 0
    """The person wants no tracking, and a day later does."""


class People(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who holds the device."""

    logged_in: Share = 0.6
    """Of the people: log in once, in their second session."""
    log_outs_per_week: Rate = 0
    shared: Share = 0
    """Of the devices: two people use it in turn, each logging in."""
    second_device: Share = 0
    """Of the people: have another device, with the same log-in."""


class Kind(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of device."""

    share: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """Of the fleet, relative to the other kinds."""
    sessions_per_day: Annotated[float, msgspec.Meta(gt=0, le=50)] = 0.7
    events_per_session: Annotated[float, msgspec.Meta(ge=1, le=200)] = 7
    network: Network = Network()
    clock: Clock = Clock()
    faults: Faults = Faults()
    people: People = People()


class Overload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A time in which the server, or what stands in front of it, pushes every call back."""

    after_hours: Annotated[float, msgspec.Meta(ge=0)]
    for_minutes: Annotated[float, msgspec.Meta(gt=0, le=24 * 60)]
    everyone_at_once: bool = False
    """Every device tracks an event, and uploads it, at the very moment it begins."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole fleet. `about` is what `--help` and the report say of it."""

    about: str
    kinds: Annotated[dict[str, Kind], msgspec.Meta(min_length=1, max_length=12)]
    server_kills_per_day: Annotated[float, msgspec.Meta(ge=0, le=24)] = 0
    """Only of a server that the simulator runs itself."""
    overloads: tuple[Overload, ...] = ()
    workspace: dict[str, str] = {}  # msgspec copies it.
    """Settings of the workspace, likewise."""


def preset_names() -> list[str]:
    """Those that ship, in alphabetical order."""
    folder = files("workevo_simulator") / "scenarios"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def load_scenario(name: str) -> tuple[str, Scenario]:
    """A preset by its name, or a TOML file by its path; with the name to show.

    Raises ScenarioUnusable with a sentence that names the key at fault.
    """
    path = Path(name)
    if path.suffix == ".toml":
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ScenarioUnusable(f"{path} cannot be read: {error}.") from error
        return path.stem, _scenario(text, path.name)
    if name not in preset_names():
        known = ", ".join(preset_names())
        raise ScenarioUnusable(f"There is no scenario {name!r}. There are: {known}; or give a .toml file.")
    preset = files("workevo_simulator") / "scenarios" / f"{name}.toml"
    return name, _scenario(preset.read_text(encoding="utf-8"), name)


def _scenario(text: str, name: str) -> Scenario:
    try:
        return msgspec.toml.decode(text, type=Scenario)
    except (msgspec.MsgspecError, ValueError) as error:  # Of the content, and of TOML itself.
        raise ScenarioUnusable(f"The scenario {name} does not fit: {error}.") from error
