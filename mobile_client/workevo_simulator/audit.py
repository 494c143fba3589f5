"""Everything that the server holds, held against the truth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workevo_simulator.findings import Reconciliation, Rules
from workevo_simulator.readback import Readback, read_back
from workevo_simulator.reconciliation import reconcile
from workevo_simulator.target import Server
from workevo_simulator.truth import Generated

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Audit:
    reconciliation: Reconciliation
    readback: Readback
    """What it was made from."""


def audit(
    generated: Sequence[Generated],
    server: Server,
    rules: Rules,
    *,
    on_progress: Progress,
) -> Audit:
    """Only the second half: hold what the server has against the truth."""
    with server.read_api() as api:
        people = dict.fromkeys(rules.person(event.contact) for event in generated)
        readback = read_back(api, people, on_progress=on_progress)
    return Audit(reconcile(generated, readback, rules), readback)
