"""What databases call their errors, and what we do something about."""

HELD = "55P03"  # A lock was waited for too long.
NO_MONTH = "23514"  # No partition for a row; we check nothing else in that way.
NOT_PERMITTED = "42501"


def error_code(error: BaseException) -> str | None:
    """What a database calls its error: SQLite's name (`SQLITE_FULL`), or PostgreSQL's five characters
    (`53100`). Words of closed lists, which quote nobody; None where it is no database's."""
    original = getattr(error, "orig", None) or error
    code = getattr(original, "sqlite_errorname", None) or getattr(original, "sqlstate", None)
    return code if isinstance(code, str) else None
