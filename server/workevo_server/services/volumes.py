"""How much of an event there was and how late it came, for who looks at the catalogue."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workevo_server.domain import limits
from workevo_server.domain import page_token as tokens
from workevo_server.domain.errors import FieldViolation, RequestInvalid
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.metadata import MetadataValue
from workevo_server.ports.catalogue import EventDefinition
from workevo_server.ports.people import TimelinePosition
from workevo_server.ports.volumes import Bar, Facet, Occurrence, Step, VolumeReader
from workevo_server.services.pages import page_size_of

OCCURRENCES_SEARCHED = 200
EXAMPLES_MAX = 3
_SECONDS = {Step.HOUR: 3600, Step.DAY: 86_400}


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Of one value, over the whole range and by day."""

    value: str
    """As `ports.volumes.FacetBar.value`."""
    count: int
    days: Sequence[Bar]
    """Those with any, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OccurrencePage:
    occurrences: Sequence[Occurrence]
    """Newest first."""
    next_page_token: str
    """Empty on the last page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenKey:
    """A metadata key of the latest occurrences."""

    key: str
    """As last sent."""
    count: int
    """In how many of them."""
    types: Sequence[type[MetadataValue]]
    """Kinds of value, most frequent first."""
    examples: Sequence[MetadataValue]
    """Different ones, latest first, at most EXAMPLES_MAX."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenKeys:
    keys: Sequence[SeenKey]
    """Most frequent first."""
    searched: int
    """In how many occurrences, the latest, they were looked for; at most OCCURRENCES_SEARCHED."""


class Volumes:
    """Times in Unix seconds, the end not included; definitions of the workspace that is named with them.

    A range of more than `limits.VOLUME_BARS_MAX` days, or hours where those are asked for,
    raises RequestInvalid.
    """

    def __init__(self, *, reader: VolumeReader, page_token_secret: bytes) -> None:
        self._reader = reader
        self._secret = page_token_secret

    async def days(
        self,
        workspace_id: WorkspaceId,
        definitions: Sequence[EventDefinition],
        *,
        from_seconds: int,
        end_seconds: int,
    ) -> Mapping[int, Sequence[Bar]]:
        """By `definition_no`, the days on which there was any, oldest first."""
        _check_range(Step.DAY, from_seconds, end_seconds)
        if not definitions:
            return {}
        nos = [definition.definition_no for definition in definitions]
        return await self._reader.days(workspace_id, nos, from_seconds=from_seconds, end_seconds=end_seconds)

    async def first_and_last_day(
        self, workspace_id: WorkspaceId, definition: EventDefinition
    ) -> tuple[int, int] | None:
        """When the first and the last day begin on which there was any; None when there is none."""
        return await self._reader.first_and_last_day(workspace_id, definition.definition_no)

    async def bars(
        self,
        workspace_id: WorkspaceId,
        definition: EventDefinition,
        *,
        step: Step,
        from_seconds: int,
        end_seconds: int,
    ) -> Sequence[Bar]:
        """Those with any, oldest first."""
        _check_range(step, from_seconds, end_seconds)
        return await self._reader.bars(
            workspace_id,
            definition.definition_no,
            step=step,
            from_seconds=from_seconds,
            end_seconds=end_seconds,
        )

    async def shares(
        self,
        workspace_id: WorkspaceId,
        definition: EventDefinition,
        *,
        facet: Facet,
        from_seconds: int,
        end_seconds: int,
    ) -> Sequence[Share]:
        """Largest first; of LATENESS by bucket, those with none left out."""
        _check_range(Step.DAY, from_seconds, end_seconds)
        days: dict[str, list[Bar]] = defaultdict(list)
        for bar in await self._reader.facet_bars(
            workspace_id,
            definition.definition_no,
            facet=facet,
            from_seconds=from_seconds,
            end_seconds=end_seconds,
        ):
            days[bar.value].append(Bar(bar.starts_at_seconds, bar.count))
        shares = [
            Share(value=value, count=sum(bar.count for bar in bars), days=bars)
            for value, bars in days.items()
        ]
        if facet is Facet.LATENESS:
            return sorted(shares, key=lambda share: int(share.value))
        return sorted(shares, key=lambda share: (-share.count, share.value))

    async def occurrences(
        self, workspace_id: WorkspaceId, definition: EventDefinition, *, page_size: int, page_token: str
    ) -> OccurrencePage:
        """A page of the latest. Raises PageTokenInvalid for a token of another list."""
        scope = f"occurrences {workspace_id} {definition.definition_no}"
        before = None
        if page_token:
            before = TimelinePosition(*tokens.decode(page_token, scope=scope, secret=self._secret, length=2))
        size = page_size_of(page_size)
        found = await self._reader.occurrences(
            workspace_id, definition.definition_no, before=before, count_max=size + 1
        )
        page, token = found[:size], ""
        if len(found) > size:
            last = page[-1].event
            position = (last.occurred_at_micros, last.receipt_no)
            token = tokens.encode(position, scope=scope, secret=self._secret)
        return OccurrencePage(occurrences=page, next_page_token=token)

    async def metadata_keys(self, workspace_id: WorkspaceId, definition: EventDefinition) -> SeenKeys:
        """Which keys the latest occurrences have, of which types, with examples."""
        found = await self._reader.occurrences(
            workspace_id, definition.definition_no, before=None, count_max=OCCURRENCES_SEARCHED
        )
        values: dict[str, list[MetadataValue]] = defaultdict(list)
        for occurrence in found:
            for entry in occurrence.event.metadata:
                values[entry.key].append(entry.value)
        keys = [_seen(key, sent) for key, sent in values.items()]
        return SeenKeys(keys=sorted(keys, key=lambda seen: (-seen.count, seen.key)), searched=len(found))


def _check_range(step: Step, from_seconds: int, end_seconds: int) -> None:
    """Raises RequestInvalid."""
    if end_seconds - from_seconds > limits.VOLUME_BARS_MAX * _SECONDS[step]:
        sentence = f"A range has at most {limits.VOLUME_BARS_MAX:,} {step.value}s."
        raise RequestInvalid(FieldViolation("range", sentence))


def _seen(key: str, values: Sequence[MetadataValue]) -> SeenKey:
    types = Counter(type(value) for value in values)
    return SeenKey(
        key=key,
        count=len(values),
        types=[kind for kind, _ in types.most_common()],
        examples=list(dict.fromkeys(values))[:EXAMPLES_MAX],
    )
