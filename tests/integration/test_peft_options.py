"""An adapter of any kind is the model that PEFT makes of it, or refused: the table of `benchmarks/peft_options.py`."""

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
QUICK = ("plain", "DoRA", "PiSSA", "OLoRA", "IA3", "prompt tuning")


@pytest.fixture
def options(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import peft_options

    assert peft_options.QUICK == QUICK
    return peft_options


def table() -> dict[str, str]:
    rows = json.loads((FOLDER / "results" / "peft_options-cpu.json").read_text(encoding="utf-8"))["result"]
    return {row["option"]: row["held"] for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_an_adapter_is_what_peft_makes_of_it(options, name):
    [row] = options.all_found((name,))
    assert row.held == table()[name]
    assert (row.difference is None) == row.held.startswith("refused: ")


@pytest.mark.slow  # a hundred adapters are trained
def test_every_option_is_as_the_table_has_it(options):
    rows = list(options.all_found())
    assert {row.name: row.held for row in rows} == table()
    assert len(rows) == len(table()) and max(row.difference or 0 for row in rows) <= options.LIMIT
