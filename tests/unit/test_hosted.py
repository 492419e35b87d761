"""Colab and Kaggle, by a stand-in: figures come as HTML, Colab's manager of widgets is on, a missing part is named."""

import subprocess
import sys
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from lerpnb.plots.figure import Figure
from lerpnb.runs import inputs

COLAB = """
import sys, types
google, colab, output = (types.ModuleType(name) for name in ("google", "google.colab", "google.colab.output"))
google.colab, colab.output, on = colab, output, []
output.enable_custom_widget_manager = lambda: on.append("widgets")
sys.modules |= {"google": google, "google.colab": colab, "google.colab.output": output}

from lerpnb.explorer.widget import ExplorerWidget
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement

ExplorerWidget()
curve = Curve.from_measures({a: {"loss/x": Measurement([a, a + 1])} for a in (0.0, 0.5, 1.0)})
html = curve._repr_mimebundle_()["text/html"]
print(on, "Plotly.newPlot" in html, "cdn.plot.ly" in html, html.count("<html"))
"""


@pytest.mark.slow
def test_with_a_stand_in_for_colab_figures_are_html_and_widgets_are_on():
    done = subprocess.run([sys.executable, "-c", COLAB], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("['widgets'] True True 0\n", "")


def test_a_figure_is_html_only_where_a_live_host_needs_it(monkeypatch):
    fig = Figure.blank(300, "Nothing.")
    assert "text/html" not in fig._repr_mimebundle_()
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    assert "text/html" in fig._repr_mimebundle_()
    monkeypatch.setenv("LERPNB_PROGRESS", "a file")  # a batch run there
    assert "text/html" not in fig._repr_mimebundle_()


@pytest.mark.slow
def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch, capsys):
    line = "import lerpnb as ln  # missing, as in Colab and Kaggle? %pip install lerpnb, then !lerpnb assets"
    monkeypatch.setitem(sys.modules, "lerpnb", None)
    assert not InteractiveShell().run_cell(line).success
    assert "%pip install lerpnb, then !lerpnb assets" in capsys.readouterr().out


def test_the_data_that_the_package_brings_is_found_where_no_project_is(monkeypatch, tmp_path):
    brought = tmp_path / "package" / "data" / "words.txt"
    brought.parent.mkdir(parents=True)
    brought.write_text("The film")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(inputs, "template", lambda: tmp_path / "package")
    assert inputs.find("data/words.txt", Path("nowhere")) == brought
    assert inputs.find("data/other.txt", Path("nowhere")) is None
