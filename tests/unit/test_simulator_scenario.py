"""Scenarios: what ships is sound, and what does not fit is refused with the key at fault."""

from pathlib import Path

import pytest

from workevo_simulator.errors import ScenarioUnusable
from workevo_simulator.scenario import load_scenario, preset_names


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_fits_and_says_what_it_is(name: str) -> None:
    shown, scenario = load_scenario(name)

    assert shown == name
    assert scenario.about.endswith((".", "!"))
    assert scenario.kinds


def test_the_presets_that_the_readme_names_are_there() -> None:
    assert {"commuter", "festival", "hostile"} <= set(preset_names())


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    file = tmp_path / "ours.toml"
    file.write_text('about = "Ours."\n[kinds.phone.network]\nlost_requests = 0.5\n')

    name, scenario = load_scenario(str(file))

    assert name == "ours"
    assert scenario.kinds["phone"].network.lost_requests == 0.5
    assert scenario.kinds["phone"].network.lost_answers == 0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('about = "x"\n', "kinds"),
        ('about = "x"\n[kinds]\n', "kinds"),
        ('about = "x"\n[kinds.phone]\nsesions_per_day = 1\n', "sesions_per_day"),
        ('about = "x"\n[kinds.phone.network]\nlost_requests = 1.0\n', "lost_requests"),
        ('about = "x"\n[kinds.phone.clock]\nwrong = "often"\n', "wrong"),
        ("about = \n", "line 1"),
    ],
)
def test_what_does_not_fit_is_refused_naming_the_key(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "ours.toml"
    file.write_text(text)

    with pytest.raises(ScenarioUnusable, match=named):
        load_scenario(str(file))


def test_a_name_that_is_no_preset_is_answered_with_those_there_are() -> None:
    with pytest.raises(ScenarioUnusable, match="commuter"):
        load_scenario("comuter")


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ScenarioUnusable, match="nowhere"):
        load_scenario("nowhere.toml")
