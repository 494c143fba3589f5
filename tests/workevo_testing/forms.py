"""Forms of a page as a browser without scripts sends them, its own rules of fields included."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode

from workevo_testing.console import Visit
from workevo_testing.http_calls import HttpAnswer


@dataclass
class Form:
    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)

    def send(self, visit: Visit) -> HttpAnswer:
        if self.method == "post":
            return visit.post(self.action, self.fields, csrf=self.fields["csrf"])
        return visit.get(f"{self.action}?{urlencode(self.fields)}")


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: (value or "").replace("\0", "\ufffd") for name, value in attrs}
        if tag == "form":
            self.found.append(Form(told["action"], told.get("method", "get")))
        elif tag == "select":
            self._select = told["name"]
        elif tag == "option" and ("selected" in told or self._select not in self.found[-1].fields):
            self.found[-1].fields[self._select] = told["value"]
        elif tag == "input" and "name" in told:
            self.found[-1].fields[told["name"]] = _kept(told)


def _kept(told: dict[str, str]) -> str:
    """A field of one line keeps no line breaks; a hidden one sends each as CR and LF."""
    text = told.get("value", "")
    if told.get("type") == "hidden":
        return "\r\n".join(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    return text.replace("\r", "").replace("\n", "")


def forms_of(page: str) -> list[Form]:
    """In the order of the page."""
    forms = _Forms()
    forms.feed(page)
    return forms.found
