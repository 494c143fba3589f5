"""Every bound the device keeps, its unit in its name.

A copy of those of the server that a device enforces: a released app cannot
follow the server's file, so a contract test holds the two together. Below
them the device's own.
"""

from datetime import timedelta

# Events (R1, R3, R4, R5).
NAME_CODE_POINTS_MAX = 255
METADATA_KEY_CODE_POINTS_MAX = 255
METADATA_TEXT_CODE_POINTS_MAX = 255
LINK_CODE_POINTS_MAX = 2048
ID_CODE_POINTS_MAX = 255
CREATED_AT_SECONDS_MAX = 253_402_300_799  # The last second of the year 9999.

# Uploads (R9, R14).
UPLOAD_EVENTS_MAX = 500
UPLOAD_BYTES_MAX = 1024 * 1024
EVENT_BYTES_MAX = 32 * 1024
UPLOAD_DROPPED_RANGES_MAX = 1000
SEQUENCE_MAX = 2**53 - 1  # The largest integer that every JSON reader keeps exactly.
ANSWER_GAPS_MAX = 100  # More are not looked at; the next answer repeats them.
EPOCH_BYTES = 16  # 128 random bits.

# The device's own.
QUEUE_EVENTS_MAX = 10_000
QUEUE_BYTES_MAX = 20 * 1024 * 1024
QUEUE_AGE_MAX = timedelta(days=30)
DEAD_LETTERS_MAX = 1000
DEAD_LETTER_BYTES_MAX = 4 * 1024 * 1024
DROPPED_RANGES_BYTES_MAX = 48 * 1024  # Of one upload, names included; within its envelope.
DROPPED_RANGE_BYTES = 30  # One without its name.
CONFIG_AGE_MAX = timedelta(hours=24)  # Of archived and disabled names (R23).
COMMIT_WAIT_DEFAULT = timedelta(milliseconds=5)
HANDED_OVER_MAX = 1000  # Events that wait for the disk in memory; beyond it a new one is refused.
UPLOAD_ENVELOPE_BYTES_MAX = 64 * 1024  # Install, clocks and 1,000 dropped ranges of some 30 bytes each.
CLOCK_MICROS_MAX = 2**58  # Some 9,000 years from 1970, either way; beyond it a reading is damage.
UPTIME_MILLIS_MAX = 2**42  # Some 139 years.
ROW_OVERHEAD_BYTES = 32  # An event's sequence, tag and length beside the bytes in its row.
FLUSH_EVENT_COUNT_DEFAULT = 20
FLUSH_INTERVAL_DEFAULT = timedelta(seconds=30)
ANSWER_BYTES_MAX = 4 * 1024 * 1024  # As gRPC has it; more is no answer of ours.
CALL_DEADLINE = timedelta(seconds=30)  # As long as the server works on a call.
BACKOFF_FIRST = timedelta(seconds=1)
BACKOFF_LONGEST = timedelta(seconds=300)
SERVER_DELAY_MAX = timedelta(hours=1)  # A wrong delay must not silence a released app for ever.
REFUSED_DELAY = timedelta(hours=1)  # Nothing on the device can mend a refused key or envelope.
RETRY_DELAY_DEFAULT = timedelta(seconds=60)  # For RETRY without a delay, lest it be sent in a circle.
RETRY_DELAY_MIN = timedelta(seconds=1)

assert EVENT_BYTES_MAX + UPLOAD_ENVELOPE_BYTES_MAX <= UPLOAD_BYTES_MAX
assert DROPPED_RANGES_BYTES_MAX + 1024 < UPLOAD_ENVELOPE_BYTES_MAX
assert BACKOFF_FIRST <= BACKOFF_LONGEST <= SERVER_DELAY_MAX
