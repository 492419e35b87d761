"""Notebooks as a person meets them: run in JupyterLab, their figures and widgets used, saved, and opened by another."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell
from notebook_figures import UNTRUSTED, figures, outputs, see_and_press
from tiny_notebooks import NOTEBOOKS

import lerpnb as ln

pytest_plugins = ["browser", "tiny_notebooks"]
pytestmark = pytest.mark.browser
ATTRIBUTES = {"sentiment": "first", "voice": "second"}  # notebook 10's lines, and how its parameters name them
LIVE = ["03_explore", "07_several_attributes"]  # tests/notebooks/ opens all, as papermill ran them
IDLE = "() => !document.querySelector('.lerp-explorer').classList.contains('busy')"
KNOB = "(knob) => { const b = knob.getBoundingClientRect(); return [b.x, b.y + b.height / 2, b.width]; }"


def placed(notebook: Path, given: dict, folder: Path) -> Path:
    """A copy of the notebook with a cell of parameters after its own, as papermill would put it."""
    node = nbformat.read(notebook, 4)
    node.cells.insert(2, new_code_cell("\n".join(f"{name} = {value!r}" for name, value in given.items())))
    nbformat.write(node, folder / notebook.name)
    return folder / notebook.name


def quiet(seen) -> None:
    assert (seen.errors, seen.outside) == ([], [])


@pytest.mark.parametrize("notebook", LIVE)
def test_a_person_runs_it_saves_it_and_another_opens_it(tab, lab, own_lab, reader, notebook, tiny_parameters):
    path = placed(NOTEBOOKS[notebook], tiny_parameters[notebook], own_lab.root)
    seen = tab(1400)
    panel = own_lab.open(seen, path.name)
    own_lab.run_all(seen, 120)
    if notebook == "03_explore":
        use_the_explorer(seen, panel, notebook)
    if notebook == "07_several_attributes":
        use_the_second_slider(seen, panel, notebook, written(tiny_parameters[notebook], (2, -1)))
    own_lab.save(seen)
    shown = [out for _, some in outputs(path) for out in some]
    assert not [out for out in shown if out.output_type == "error" or out.get("name") == "stderr"]
    assert "widgets" not in nbformat.read(path, 4).metadata
    drawn = figures(path)
    assert drawn
    see_and_press(seen, panel, drawn)
    seen.shoot(f"lab_{path.stem}")
    quiet(seen)
    seen.page.close()
    shutil.copy(path, lab.root)  # another person's server, which has never seen this notebook, and trusts no output
    panel = lab.turn_to(reader, path.name)
    reader.page.wait_for_function(UNTRUSTED)
    see_and_press(reader, panel, drawn)
    if notebook == "03_explore":
        reader.expect(panel.get_by_text("It needs a running notebook")).to_be_attached()
    reader.shoot(f"lab_{path.stem}_untrusted")
    quiet(reader)


def use_the_explorer(seen, panel, name: str) -> None:
    """Keys and mouse on the slider, a click in the text, a new prompt, an empty one, a dark theme."""
    page, explorer = seen.page, panel.locator(".lerp-explorer")
    explorer.scroll_into_view_if_needed()
    alpha, text, slider = (explorer.locator(selector) for selector in (".alpha", ".text", ".slider"))
    seen.expect(text).to_contain_text("the film was")
    page.wait_for_function(IDLE)
    seen.shoot(f"{name}_first")

    read = {}  # every alpha by the keys, each at once: what the text is after the next frame
    page.evaluate("window.waits = []; const s = document.querySelector('.lerp-explorer .slider');" + WAITS)
    slider.focus()  # with another cell active: JupyterLab must leave the arrow keys to the slider
    page.keyboard.press("Home")
    for _ in range(4):
        read[alpha.inner_text()] = text.inner_text()
        page.keyboard.press("ArrowRight")
    assert list(read) == ["alpha = −1", "alpha = 0", "alpha = 1", "alpha = 2"] and len(set(read.values())) > 1
    assert len(page.evaluate("window.waits")) >= 4

    x, y, width = slider.evaluate(KNOB)  # and by the mouse, from the right end to the left
    page.mouse.move(x + width - 9, y)
    page.mouse.down()
    page.mouse.move(x + 9, y, steps=6)
    page.mouse.up()
    seen.expect(alpha).to_have_text("alpha = −1")
    assert text.inner_text() == read["alpha = −1"]

    heading = explorer.locator(".bars .context")
    before = heading.inner_text()
    text.press("End")  # the caret goes behind the last word, and the bars with it
    seen.expect(heading).not_to_have_text(before)
    explorer.locator(".word").first.click()
    seen.expect(heading).to_have_text(before)

    hostile = 'nobody <b>in</b> <img src=x onerror="window.hacked = true"> this picture'
    explorer.locator("textarea").fill(hostile)
    seen.expect(text.locator(".given")).to_have_text(hostile)
    page.wait_for_function(IDLE)
    assert text.locator("b, img").count() == 0 and page.evaluate("window.hacked") is None
    assert text.inner_text() != read["alpha = −1"]
    seen.expect(heading).to_contain_text("this picture")

    explorer.get_by_role("button", name="Pin to compare").click()
    slider.press("End")
    columns = explorer.locator(".compare .column")
    assert [column.inner_text().split("\n")[0] for column in columns.all()] == ["alpha = −1", "alpha = 2"]
    cards = explorer.locator(".strip .card")
    assert cards.count() == 4 and cards.nth(3).get_attribute("aria-pressed") == "true"
    assert text.inner_text().endswith(cards.nth(3).locator(".small").inner_text())
    cards.nth(0).click()
    seen.expect(alpha).to_have_text("alpha = −1")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    explorer.get_by_role("button", name="Copy text").click()
    seen.expect(explorer.locator(".notice")).to_have_text("The text at alpha −1 is copied.")
    assert page.evaluate("navigator.clipboard.readText()") == text.inner_text()
    explorer.locator(".buttons .pin").click()

    box = text.bounding_box()
    explorer.locator("textarea").fill(" ")
    seen.expect(text).to_have_text("Type one or more words for the model to continue.")
    seen.expect(explorer.locator(".error")).to_have_text("")
    assert explorer.locator(".bars rect").count() == 0 and explorer.locator(".strip .small span").count() == 0
    assert text.bounding_box() == box  # nothing jumps
    explorer.locator("[name=temperature]").fill("-1")
    explorer.locator("textarea").fill("the music")
    seen.expect(explorer.locator(".error")).to_contain_text("Continuations(temperature): got -1.0.")
    explorer.locator("[name=temperature]").fill("0")
    seen.expect(explorer.locator(".error")).to_have_text("")
    seen.expect(text.locator(".given")).to_have_text("the music")
    page.wait_for_function(IDLE)

    explorer.get_by_role("button", name="Keep this alpha").click()
    seen.expect(explorer.locator(".notice")).to_contain_text("Alpha -1 is kept (1 in all)")
    explorer.get_by_role("button", name="Save model…").click()
    explorer.locator("[name=to]").fill(".")  # a folder that is there
    explorer.get_by_role("button", name="Save", exact=True).click()
    seen.expect(explorer.locator(".notice.wrong")).to_contain_text("there is something at . already")
    explorer.locator("[name=to]").fill("model")
    explorer.get_by_role("button", name="Save", exact=True).click()
    seen.expect(explorer.locator(".notice")).to_contain_text("Alpha -1 is saved in model")
    seen.shoot(f"{name}_used")
    for theme, light in (("Dark", "false"), ("Light", "true")):
        page.evaluate(f"window.jupyterapp.commands.execute('apputils:change-theme', {{theme: 'JupyterLab {theme}'}})")
        page.wait_for_function(f"document.body.dataset.jpThemeLight === '{light}'")
        page.wait_for_selector("#jupyterlab-splash", state="detached")
        seen.shoot(f"{name}_{theme.lower()}")


def written(given: dict, voices: tuple[float, ...]) -> dict[float, str]:
    """Notebook 10's text at sentiment 0 and each alpha of the other line, by the line that holds it fixed."""
    lines = {name: (given[f"{place}_minus"], given[f"{place}_plus"]) for name, place in ATTRIBUTES.items()}
    product = ln.MultiLine(lines, given["base"], weights=(1, 1), device="cpu")
    settings = {"alphas": [-1, 0, 1, 2], "max_new_tokens": given["sampling"]["max_new_tokens"]}
    tables = {voice: ln.explore(product.line((None, voice)), "The film", **settings).texts() for voice in voices}
    return {voice: "The film" + texts.text[1] for voice, texts in tables.items()}


def use_the_second_slider(seen, panel, name: str, written: dict[float, str]) -> None:
    """The other line's slider: its alpha is said at once and the texts follow, while the first stays where it is."""
    page, explorer = seen.page, panel.locator(".lerp-explorer")
    explorer.scroll_into_view_if_needed()
    alpha, text, slider = (explorer.locator(selector) for selector in (".alpha", ".text", ".others input"))
    page.wait_for_function(IDLE)
    seen.expect(alpha).to_have_text("sentiment alpha = 0")
    seen.expect(explorer.locator(".others label")).to_have_text("voicealpha = 0")
    seen.shoot(f"{name}_first")
    slider.focus()
    for key, voice, said in (("End", 2, "alpha = 2"), ("Home", -1, "alpha = −1")):
        page.keyboard.press(key)
        seen.expect(explorer.locator(".others output")).to_have_text(said)
        seen.expect(text).to_have_text(written[voice])
    page.wait_for_function(IDLE)
    seen.expect(alpha).to_have_text("sentiment alpha = 0")
    explorer.get_by_role("button", name="Keep this alpha").click()
    seen.expect(explorer.locator(".notice")).to_contain_text("kept_sentiment_voice.csv")
    seen.shoot(f"{name}_used")


WAITS = """
s.addEventListener("input", () => {
  const start = performance.now();
  requestAnimationFrame(() => window.waits.push(performance.now() - start));
});
"""
