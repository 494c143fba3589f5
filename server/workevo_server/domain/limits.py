"""Every bound of the contract, its unit in its name (docs/RULES.md).

The mobile client has its own copy of those it enforces on the device, as a
released app cannot follow this file; a contract test holds the two together.
"""

from datetime import timedelta

# Events (R1, R3, R4, R5).
NAME_CODE_POINTS_MAX = 255
METADATA_KEY_CODE_POINTS_MAX = 255
METADATA_TEXT_CODE_POINTS_MAX = 255
METADATA_KEYS_DEFAULT = 5
METADATA_KEYS_SETTING_MAX = 20
LINK_CODE_POINTS_MAX = 2048
ID_CODE_POINTS_MAX = 255
CREATED_AT_SECONDS_MAX = (
    253_402_300_799  # The last second of the year 9999; Timestamp and datetime end there too.
)
REST_CLOCK_AHEAD_SECONDS_MAX = (
    24 * 3600
)  # R3: a back end's clock is right or broken; a device's may be anything.

# Clocks (R8).
CLOCK_SKEW_TOLERANCE = timedelta(seconds=60)  # Below it the wall clock is taken as right.

# Uploads (R9).
UPLOAD_EVENTS_MAX = 500
UPLOAD_BYTES_MAX = 1024 * 1024  # Answered by us, with a typed reason.
EVENT_BYTES_MAX = 32 * 1024
UPLOAD_DROPPED_RANGES_MAX = 1000
UPLOAD_IDENTITY_PROOFS_MAX = 500
GRPC_MESSAGE_BYTES_MAX = (
    4 * 1024 * 1024
)  # The core's own limit stays above ours: its answer carries no reason.
INSTALL_TEXT_CODE_POINTS_MAX = 255  # Longer ones are cut: they describe, they do not identify.
EPOCH_BYTES = 16  # 128 random bits.

# Identity (R6).
PRODUCT_IDENTITY_WINDOW_DEFAULT = timedelta(hours=48)
PRODUCT_IDENTITY_WINDOW_MAX = timedelta(days=90)

# Catalogue (R10, R22, R23).
EVENT_NAMES_DEFAULT = 500
DESCRIPTION_CODE_POINTS_MAX = 1000
CONFIG_NAMES_MAX = 1000  # A client_config stays small; what it leaves out is answered ARCHIVED.
FLUSH_EVENT_COUNT_DEFAULT = 20
FLUSH_INTERVAL_DEFAULT = timedelta(seconds=30)
FLUSH_INTERVAL_MAX = timedelta(hours=1)  # A device obeys no longer one.

# Failed events (R13).
FAILED_EVENTS_AGE_DEFAULT = timedelta(days=30)
FAILED_EVENTS_AGE_MAX = timedelta(days=365)
FAILED_EVENTS_BYTES_DEFAULT = 256 * 1024 * 1024
FAILED_EVENTS_BYTES_SETTING_MAX = 100 * 1024 * 1024 * 1024
FAILED_EVENTS_INSTALL_SHARE = 0.1  # One broken install must not push out the others' failed events.
FAILED_PAGE_BYTES_MAX = UPLOAD_BYTES_MAX  # Read again, a page of them costs what an upload costs.
FAILED_TURN_BYTES = 64 * 1024  # Read before other calls get their turn.
REPLAY_TRANSACTION_EVENTS_MAX = 100  # Uploads wait for a replay no longer than for one of themselves.
HOUSEKEEPING_ROWS_MAX = 500  # Deleted in one transaction, for the same reason.

# REST (R29).
REST_RATE_WINDOW = timedelta(seconds=10)
REST_RATE_LIMIT_DEFAULT = 10_000  # Requests a window: far above a back end's work, far below one core's.
REST_RATE_LIMIT_SETTING_MAX = 1_000_000

TOLD_COUNT_MAX = 10**12  # One a second for 31,000 years; a person's ids add up within an integer of JSON.

# People (R16, R17, R19).
LEAD_HISTORY = timedelta(days=90)  # What a lead's profile shows of the time before its first contact.
EMAIL_CODE_POINTS_MAX = 255
CONVERSATION_TEXT_CODE_POINTS_MAX = 255
UNVERIFIED_USERS_MAX = 1000  # A public key could name any number; those beyond are counted together.
IDENTITY_SECRETS_MAX = 10  # Every claim is tried with each; two are enough to rotate.

# Retention (R32).
EVENT_RETENTION_MAX = timedelta(days=36_500)

# Ledger (R7, R14).
SEQUENCE_MAX = 2**53 - 1  # The largest integer that every JSON reader keeps exactly.
LEDGER_GAPS_MAX = 10_001  # A device's queue holds 10,000 events, so it cannot leave more gaps.
LEDGER_RANGES_MAX = 4096  # Beyond it a device that never tells applied_through is folded.
ANSWER_GAPS_MAX = 100

# People, looked for.
NAME_WORDS_MAX = 20  # Of a name; more are no name, and each is a row.
NAME_WORD_CODE_POINTS_MAX = 64
SEARCH_TEXT_CODE_POINTS_MAX = 255  # As long as what it is compared with.
SEARCH_MATCHES_MAX = 1000  # Looked at of each kind of id; whom more match has to be told more about.
SEARCH_STRETCH_ROWS = 1000  # Looked through for one page: some milliseconds, whoever is looked for.

# Where is my event?
STRETCH_SEQUENCES_MAX = 1000  # Between what a person did before a time and after; more tell nothing.
FOUND_EVENTS_MAX = 20  # Of one name around one time.
FOUND_INSTALLS_MAX = 10
FOUND_QUEUES_MAX = 20  # Of one install, by a sequence that so many may have.

# Volumes, for charts.
HOURS_COUNTED_FOR = timedelta(
    days=40
)  # What comes later counts for its day alone: hours are for today's eyes.
VOLUME_BARS_MAX = 1100  # Of a name at once; three years of days: as many points as a chart has pixels.
LATENESS_BUCKETS_SECONDS = (10, 60, 600, 3600, 6 * 3600, 86_400, 7 * 86_400)
FACET_VALUES_MAX = (
    50  # Platforms, or versions, told apart in a day of a workspace: devices may tell any number.
)
FACET_CODE_POINTS_MAX = 64
FACET_DAYS_KNOWN_MAX = 4000  # In memory; some hundred kilobytes.

# Reading back.
PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 500
LEDGER_ANSWER_RANGES_MAX = 1000
LEDGER_QUEUES_MAX = (
    50  # Of an install in one answer. A phone makes few anew in its life; anybody can make more.
)
LEDGER_QUEUES_CHARACTERS_MAX = 1024 * 1024  # Of their documents; some tens of milliseconds to read.
LISTED_QUEUES_MAX = 3  # Of each install of a list, whose reasons are told one by one, ...
LISTED_LEDGER_CHARACTERS_MAX = 4096  # ... where they are no longer than a ledger without many gaps.
CONTACT_VISITOR_IDS_MAX = 1000  # R16 reads through all of them, so devices merge no more into one user.

assert EVENT_BYTES_MAX <= UPLOAD_BYTES_MAX < GRPC_MESSAGE_BYTES_MAX
assert METADATA_KEYS_DEFAULT <= METADATA_KEYS_SETTING_MAX
assert PRODUCT_IDENTITY_WINDOW_DEFAULT <= PRODUCT_IDENTITY_WINDOW_MAX
assert PAGE_SIZE_DEFAULT <= PAGE_SIZE_MAX
assert ANSWER_GAPS_MAX <= LEDGER_GAPS_MAX
