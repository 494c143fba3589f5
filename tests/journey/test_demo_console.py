"""The demo that is kept: its server goes on, and its last lines lead into the console."""

import gzip
import re
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from workevo_testing.console import Visit

_ECOM = Path(__file__).parents[1] / "data" / "ecom.csv.gz"
_LINK = re.compile(r"http://\S+/console/sign-in/\S+")


def test_a_demo_that_is_kept_ends_with_a_link_that_signs_in_to_its_console(tmp_path: Path) -> None:
    file = tmp_path / "some.csv"
    with gzip.open(_ECOM, "rt", encoding="utf-8") as whole:
        file.write_text("".join(islice(whole, 61)), encoding="utf-8")
    command = [sys.executable, "-u", "-m", "workevo_simulator.demo", str(file), "--keep"]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    try:
        link = next(found.group() for line in demo.stdout if (found := _LINK.search(line)))
        address = urlsplit(link)
        visit = Visit(address.netloc)
        assert visit.get(address.path).headers["location"] == "/console"
        people = visit.get("/console/people").body.decode()
        assert "60 generated" not in people
        assert people.count('class="person"') > 0
    finally:
        demo.send_signal(signal.SIGTERM)
        _, told = demo.communicate(timeout=60)
    assert demo.returncode == 128 + signal.SIGTERM, told
