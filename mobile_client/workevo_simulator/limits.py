"""Every bound of the simulator, its unit in its name and its reason beside it."""

from datetime import timedelta

# The recorded log.
ROWS_MAX = 5_000_000  # They are sorted in memory, about 400 bytes each.
METADATA_KEYS_DEFAULT = 5  # Of a workspace that has set nothing (R4).
METADATA_COLUMNS_MAX = 20  # No workspace keeps more keys of an event (R4).
COLUMNS_SHOWN_MAX = 40  # In an error about a column that is not there.
RECORDED_AT_SECONDS_MAX = 253_402_300_799  # The last second of the year 9999 (R3).

# The world of a device.
OFFLINE_SPELL_MIN = timedelta(minutes=1)
OFFLINE_SPELL_MAX = timedelta(hours=23)  # Under 24 h, so that copies come within R6's window of 48 h.
ONLINE_SPELL_MIN = timedelta(hours=1)  # Several attempts fit in, so that spells do not add up to more.
FLUSH_INTERVAL_DEFAULT = timedelta(seconds=30)  # As the SDK, of an app that says nothing.
FLUSH_INTERVAL_MAX = timedelta(hours=12)  # Longer, and a spell offline after it could outlast R6's window.
OFFLINE_SPELLS_DEFAULT = 2.0  # A week and device.
OFFLINE_SPELLS_PER_WEEK_MAX = 50.0
LOSS_SHARE_DEFAULT = 0.05
LOSS_SHARE_MAX = 0.9  # A network that loses everything never ends a run.
BOOT_EVERY_MEAN = timedelta(days=10)
UPTIME_AT_START_MAX = timedelta(days=30)

# The world of a fleet.
RUN_BEGINS_MICROS = (
    1_772_409_600 * 1_000_000
)  # Monday 2 March 2026, 0:00 UTC: a run depends on no real clock.
DEVICES_DEFAULT = 200
DEVICES_MAX = 100_000
DAYS_DEFAULT = 7.0
DAYS_MAX = 90.0
PUSH_BACK_SHORTEST = timedelta(seconds=1)  # As our server asks of callers that it has no room for:
PUSH_BACK_LONGEST = timedelta(seconds=6)  # OVERLOAD_RETRY_FIRST and _LAST of its own limits; a test compares.
SMALL_QUEUE_EVENTS = 12
LAST_DELIVERY_MAX = timedelta(days=2)  # Virtual, after the run; what a phone still holds then is reported.
ODDITIES_MAX = 10
STRIP_SPELLS_MAX = 2_000  # Of one device in the report.
RETURN_SLICES = 60

# The run.
LANES_MAX = 64
FLEET_LANES_DEFAULT = 8  # More only wait for each other.
LANES_DEFAULT = 32  # Enough for the server to commit several uploads at once.
PATIENCE_DEFAULT = timedelta(seconds=60)
PATIENCE_MAX = timedelta(hours=1)
DEMO_FLUSH_INTERVAL = timedelta(minutes=15)  # A patient app makes few calls, so the demo is soon over.
SHUTDOWN_GRACE = timedelta(seconds=20)  # For a server of the simulator's own.
STOP_SEEN_WITHIN = timedelta(milliseconds=500)  # By a lane that waits for others.
REVIVAL_PATIENCE = timedelta(seconds=60)  # Until such a server that was killed answers again.
LANE_LEAD_DAYS_MAX = 7  # Receipts come nearly in order; with less, lanes wait more than they work.
STEPS_AT_ONCE_MAX = 10_000  # A tracker that is never done at one moment is broken, not busy.
TRACKERS_OPEN_MAX = 2_000
FILES_PER_TRACKER = 4  # The database, its log, its index, and one to spare.
FILES_KEPT_FREE = 100  # For sockets, the interpreter and the report.
PROBE_EVERY = timedelta(milliseconds=200)
PROBE_TIMEOUT = timedelta(seconds=5)

# Reading back.
PAGE_SIZE = 500
READ_TIMEOUT = timedelta(seconds=30)
READERS_MAX = 4
IDENTITY_WINDOW_HOURS_DEFAULT = 48.0  # Of a workspace that has set nothing (R6).
IDENTITY_WINDOW_HOURS_MAX = 90.0 * 24
OCCURRED_AT_TOLERANCE = timedelta(seconds=1)
ACTIVITIES_SHOWN_MAX = 10  # Of a person, in the demo.
LISTED_MAX = 20  # Of missing, unexpected and differing events each; all are counted.
SERVER_TIME_TOLERANCE = timedelta(seconds=1)

assert timedelta(0) < OFFLINE_SPELL_MIN < OFFLINE_SPELL_MAX < timedelta(hours=24)
assert LOSS_SHARE_MAX < 1
