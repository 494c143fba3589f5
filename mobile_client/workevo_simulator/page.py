"""The report of a run: one HTML file that needs nothing else, and the same figures as JSON.

Equal figures give equal bytes: neither file knows when, where or by whom it was made. The page runs under a
policy of its own that allows the inlined style and scripts, each by its hash, and no request at all; without
scripts every number is still there, as the charts are drawn from the page's own tables.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from workevo_simulator import drawing, wording
from workevo_simulator.figures import DELIVERY_BOUNDS_SECONDS, BalanceFigures, Figures

_STATIC = Path(__file__).parent / "static"
_STYLES = ("uPlot.min.css", "report.css")
_SCRIPTS = ("uPlot.iife.min.js", "report.js")

PARTS = ("stored", "duplicate", "archived", "rejected", "dropped", "open", "wiped")
"""What generated is the sum of, in the order shown; fields of BalanceFigures."""


def write_page(figures: Figures, path: Path) -> None:
    """Write the report for people; raises OSError where the file cannot be written."""
    # What no encoding holds (half of a surrogate pair in a name) becomes a character reference.
    path.write_bytes(page(figures).encode("utf-8", "xmlcharrefreplace"))


def write_figures(figures: Figures, path: Path) -> None:
    """Write every figure as JSON, keys sorted; raises OSError, and ValueError for NaN and infinities."""
    text = json.dumps(figures, default=_as_json, sort_keys=True, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_audit(balance: BalanceFigures, findings: Sequence[str], path: Path) -> None:
    """As `write_figures`, of an audit that was made alone: the same two keys, and no others."""
    audit = {"balance": balance, "findings": list(findings)}
    text = json.dumps(audit, default=_as_json, sort_keys=True, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def page(figures: Figures) -> str:
    """The report as HTML."""
    styles = "".join(_static(name) for name in _STYLES)
    scripts = [_static(name) for name in _SCRIPTS]
    template = _environment().get_template("report.html")
    return template.render(
        figures=figures,
        unaccounted=unaccounted(figures.balance),
        sound=is_sound(figures.balance),
        policy=content_policy(styles, scripts),
        styles=Markup(styles),  # noqa: S704 - our own files, pinned by their hash.
        scripts=[Markup(each) for each in scripts],  # noqa: S704 - likewise.
    )


def unaccounted(balance: BalanceFigures) -> int:
    """Generated, less all that is accounted for: 0 in a sound run, negative when there is too much."""
    parts: Mapping[str, int] = {part: getattr(balance, part) for part in PARTS}
    return balance.generated - sum(parts.values())


def is_sound(balance: BalanceFigures) -> bool:
    """Said to be balanced, and it adds up: the page does not take one's word for the other."""
    return balance.balanced and unaccounted(balance) == 0


def content_policy(styles: str, scripts: list[str]) -> str:
    """The page's Content-Security-Policy: these texts, a picture in the page itself, and nothing else."""
    allowed = " ".join(_source(each) for each in scripts)
    return (
        f"default-src 'none'; style-src {_source(styles)}; script-src {allowed}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _static(name: str) -> str:
    return (_STATIC / name).read_text(encoding="utf-8")


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("workevo_simulator"),
        autoescape=True,
        undefined=StrictUndefined,  # A figure that was renamed fails a test, and is not shown as nothing.
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= wording.FILTERS
    environment.globals |= drawing.DRAWINGS
    environment.globals |= {"PARTS": PARTS, "BOUNDS": DELIVERY_BOUNDS_SECONDS}
    return environment


def _as_json(value: object) -> object:
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    return list(value)  # type: ignore[call-overload]  # Any other sequence; TypeError if it is none.
