"""What a Prometheus may ask of this process, each declared once with its unit and meaning.

No label holds anything that somebody sent: methods, reasons and verdicts are ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from workevo_server.domain.events import Upload
from workevo_server.domain.verdicts import Verdict
from workevo_server.ports.event_sink import UploadAnswer

METRICS_MAX = 25
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class Declared:
    kind: type[Counter] | type[Gauge] | type[Histogram]
    unit: str
    meaning: str
    labels: tuple[str, ...] = ()


DECLARED: Mapping[str, Declared] = {
    "workevo_calls_answered_total": Declared(
        Counter, "calls", "Calls that were answered as asked, over every door.", ("method",)
    ),
    "workevo_calls_refused_total": Declared(
        Counter, "calls", "Calls that were refused, and why.", ("method", "reason")
    ),
    "workevo_call_seconds": Declared(
        Histogram, "seconds", "From a call's body to its answer, of those answered as asked.", ("method",)
    ),
    "workevo_calls_working": Declared(Gauge, "calls", "Calls that are worked on now."),
    "workevo_calls_arriving": Declared(Gauge, "calls", "Calls whose body is on its way now."),
    "workevo_calls_memory_bytes": Declared(
        Gauge, "bytes", "Memory that the calls worked on now may come to, at worst."
    ),
    "workevo_store_answers": Declared(
        Gauge, "1", "1 while the store answers, 0 while a PostgreSQL cannot be reached."
    ),
    "workevo_store_jobs_waiting": Declared(
        Gauge, "jobs", "Uploads and changes that wait for the next transaction."
    ),
    "workevo_http_connections": Declared(Gauge, "connections", "HTTP connections that are open now."),
    "workevo_events_total": Declared(
        Counter,
        "events",
        "Events that were answered, by who sent them and their verdict.",
        ("sender", "verdict"),
    ),
    "workevo_events_rejected_total": Declared(
        Counter, "events", "Events that were rejected, and why.", ("reason",)
    ),
    "workevo_build_info": Declared(Gauge, "1", "Always 1; its label is the version that runs.", ("version",)),
}
"""The process's own (`process_…`: its start, memory, time and files) are the library's."""


class Metrics:
    def __init__(self, *, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # The library types all else.
        self._registry = CollectorRegistry()
        self._made: dict[str, Any] = {
            name: _make(name, declared, self._registry) for name, declared in DECLARED.items()
        }
        self._made["workevo_build_info"].labels(version).set(1)
        ProcessCollector(registry=self._registry)

    def watch(self, name: str, value: Callable[[], int]) -> None:
        """Ask for a gauge's value whenever it is asked for."""
        self._made[name].set_function(value)

    def answered(self, method: str, seconds: float) -> None:
        self._made["workevo_calls_answered_total"].labels(method).inc()
        self._made["workevo_call_seconds"].labels(method).observe(seconds)

    def refused(self, method: str, reason: str) -> None:
        self._made["workevo_calls_refused_total"].labels(method, reason).inc()

    def judged(self, upload: Upload, answer: UploadAnswer) -> None:
        sender = "back_end" if upload.install is None else "device"
        for verdict in answer.verdicts:
            self._made["workevo_events_total"].labels(sender, verdict.verdict.value).inc()
            if verdict.verdict is Verdict.REJECTED and verdict.refusal is not None:
                self._made["workevo_events_rejected_total"].labels(verdict.refusal.reason.value).inc()

    def exposition(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)


def _make(name: str, declared: Declared, registry: CollectorRegistry) -> Any:
    told = f"{declared.meaning} Unit: {declared.unit}."
    if declared.kind is Histogram:
        return Histogram(name, told, declared.labels, registry=registry, buckets=_SECONDS)
    return declared.kind(name, told, declared.labels, registry=registry)
