"""An adapter of each way of holding it is the model that PEFT makes of it, or refused; `make agree` looks at all."""

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
