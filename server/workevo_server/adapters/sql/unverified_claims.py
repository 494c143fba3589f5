"""Who claimed to be a user without a valid proof (R19): what the report of who would be refused reads."""

from collections import Counter, defaultdict
from collections.abc import Mapping

from sqlalchemy import Connection

from workevo_server.adapters.sql import statements
from workevo_server.domain import limits

OTHERS = b""
"""Stands for all users beyond the cap: no user_id is empty."""


class UnverifiedClaims:
    """Gathers the claims of one transaction and writes them, each user once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._counts: dict[int, Counter[bytes]] = defaultdict(Counter)
        self._seen_at: dict[int, int] = {}

    def add(self, workspace_no: int, claims: Mapping[str, int], received_at_micros: int) -> None:
        """`claims` is how often each user was claimed."""
        for user_id, count in claims.items():
            self._counts[workspace_no][user_id.encode()] += count
            self._seen_at[workspace_no] = max(self._seen_at.get(workspace_no, 0), received_at_micros)

    def write(self) -> None:
        for workspace_no, counts in self._counts.items():
            rows = [
                {
                    "workspace_no": workspace_no,
                    "user_id": user_id,
                    "claim_count": count,
                    "first_at": self._seen_at[workspace_no],
                    "last_at": self._seen_at[workspace_no],
                }
                for user_id, count in self._within_the_cap(workspace_no, counts).items()
            ]
            self._connection.execute(statements.COUNT_UNVERIFIED, rows)

    def _within_the_cap(self, workspace_no: int, counts: Counter[bytes]) -> Counter[bytes]:
        known = set(
            self._connection.execute(statements.UNVERIFIED_USERS, {"workspace_no": workspace_no}).scalars()
        )
        within: Counter[bytes] = Counter()
        for user_id, count in counts.items():
            if user_id not in known and len(known) >= limits.UNVERIFIED_USERS_MAX:
                within[OTHERS] += count
                continue
            known.add(user_id)
            within[user_id] += count
        return within
