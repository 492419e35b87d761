"""The page: one file that asks for nothing, runs nothing but its own scripts, and shows what the notebook showed."""

import base64
import hashlib
import json
import re
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbconvert.exporters import get_exporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from pages import FACTS, HOSTILE, cell, shown

from lerpnb.errors import RunError
from lerpnb.plots.curve import plot_curve
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement
from lerpnb.runs.report import exporter as reports
from lerpnb.runs.report.cells import CONFIG
from lerpnb.runs.report.sanitize import sanitize

PLOTLY_SIGN = "plotly.js v"
REMOVED = "script iframe frame frameset object embed applet meta base link form noscript template portal".split()
ADDRESSES = set("href src srcset srcdoc action formaction data poster background ping cite xlink:href".split())


def figure(title: str = "loss over alpha", **layout) -> dict:
    return {"data": [{"type": "scatter", "x": [0, 1], "y": [2, 3]}], "layout": {"title": {"text": title}, **layout}}


def page_of(*cells, facts: dict | None = None, code: bool = True) -> str:
    return reports.render(new_notebook(cells=list(cells)), facts or {}, Path(), code)


def text_of(page: str) -> str:
    body = BeautifulSoup(page, "html.parser").body
    for script in body.find_all("script"):
        script.decompose()
    return re.sub(r"\s+", " ", body.get_text(" "))


def outside(page: str) -> list[str]:
    """Every address that a browser would ask for by itself."""
    soup = BeautifulSoup(page, "html.parser")
    loads = [
        f"{element.name} {name}={value}"
        for element in soup.find_all(True)
        for name, value in element.attrs.items()
        if name in ADDRESSES and element.name != "a" and not str(value).startswith("data:")
    ]
    styles = [style.get_text() for style in soup.find_all("style")]
    return loads + re.findall(r"@import[^;]*|url\((?!['\"]?data:)[^)]*\)", "\n".join(styles))


def curve() -> Curve:
    alphas = [-1 + i / 4 for i in range(13)]
    points = {a: {"loss/x": Measurement([a * a, a * a + 1.0], unit="nats/token")} for a in alphas}
    return Curve.from_measures(points)


@pytest.mark.slow
def test_plotly_is_embedded_once_for_any_number_of_figures():
    page = page_of(cell(shown(figure=figure("one"))), cell(shown(figure=figure("two")), shown(figure=figure("three"))))
    assert page.count(PLOTLY_SIGN) == 1
    soup = BeautifulSoup(page, "html.parser")
    told = json.loads(soup.find(id="figures").string)
    assert [f["layout"]["title"]["text"] for f in told] == ["one", "two", "three"]
    assert [d["id"] for d in soup.find_all(class_="figure")] == ["figure-1", "figure-2", "figure-3"]
    assert [d["aria-label"] for d in soup.find_all(class_="figure")] == ["one", "two", "three"]
    wanted = {"showSendToCloud": False, "displaylogo": False, "typesetMath": False, "responsive": True}
    assert all(f["config"] == wanted for f in told)


@pytest.mark.slow
def test_a_page_without_a_figure_carries_no_plotly():
    page = page_of(cell(shown(plain="1")))
    assert PLOTLY_SIGN not in page
    assert len(page) < 40_000


@pytest.mark.slow
def test_the_page_of_six_main_figures_weighs_less_than_6_megabytes():
    page = page_of(*[cell(shown(figure=json.loads(plot_curve(curve()).to_json()))) for _ in range(6)])
    assert page.count(PLOTLY_SIGN) == 1
    assert 4_000_000 < len(page.encode()) < 6_000_000


@pytest.mark.slow
def test_the_page_asks_for_nothing():
    page = page_of(
        new_markdown_cell("# A title\n\n[a link](https://arxiv.org/abs/2211.12092) $x^2$"),
        cell(shown(figure=figure()), new_output("stream", text="hello")),
        *[cell(shown(html=text)) for text in HOSTILE[:-2]],
        facts=FACTS,
    )
    assert outside(page) == []
    assert outside("<link href='https://cdn.example/x.css'><style>@import url(x.css);</style>") != []
    for host in ("cdnjs.cloudflare.com", "unpkg.com", "example.com"):
        assert host not in page.replace(reports.plotly_js(), "")
    links = [a["href"] for a in BeautifulSoup(page, "html.parser").find_all("a") if a.get("href", "#")[0] != "#"]
    assert links == ["https://arxiv.org/abs/2211.12092"]


@pytest.mark.slow
def test_only_the_pages_own_scripts_may_run():
    page = page_of(cell(shown(figure=figure())), *[cell(shown(html=text)) for text in HOSTILE])
    soup = BeautifulSoup(page, "html.parser")
    scripts = [s.string for s in soup.find_all("script") if s.get("type") != "application/json"]
    assert len(scripts) == 2 and PLOTLY_SIGN in scripts[0]
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    policy = soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{digests[1]}' 'sha256-{digests[0]}'; "
        "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["html", "markdown", "plain", "stream", "error", "cell", "figure"])
def test_hostile_texts_leave_nothing_that_runs(kind):
    if kind == "cell":
        page = page_of(*map(new_markdown_cell, HOSTILE))
    elif kind == "figure":
        page = page_of(*[cell(shown(figure=figure(text))) for text in HOSTILE])
    elif kind == "stream":
        page = page_of(*[cell(new_output("stream", text=text)) for text in HOSTILE])
    elif kind == "error":
        page = page_of(*[cell(new_output("error", ename="E", evalue=text, traceback=[text])) for text in HOSTILE])
    else:
        page = page_of(*[cell(shown(**{kind: text})) for text in HOSTILE])
    body = BeautifulSoup(page, "html.parser").body
    own = body.find_all("script")[-3 if kind == "figure" else -2 :]
    for script in own:
        script.extract()
    assert body.find_all(REMOVED) == []
    assert [e for e in body.find_all(True) for name in e.attrs if name.startswith("on")] == []
    assert [a for a in body.find_all("a") if "script:" in a.get("href", "")] == []
    assert [e for e in body.find_all(True) if "url(" in e.get("style", "")] == []
    if kind in ("plain", "stream", "error"):  # told as they are
        assert all(text.strip() in body.get_text() for text in HOSTILE)


@pytest.mark.slow
def test_what_only_looks_like_a_figure_is_left_out_and_no_setting_of_a_strangers_figure_stays():
    odd = ["x", ["x"], {"data": {"x": 1}}, {"data": ["x"]}, {"layout": ["x"]}]
    strange = {"title": ["x"], "meta": {"alt": ["x"], "facts": ["x"]}, "margin": "x", "height": "9px; color: red"}
    figures = [{"layout": strange, "config": {"showSendToCloud": True, "plotlyServerURL": "https://example.com"}}]
    figures += [figure(height=height) for height in (float("inf"), float("nan"), -1, 1e9)]
    cells = [cell(shown(figure=value, plain="instead")) for value in odd] + [tagged(shown(figure=f)) for f in figures]
    soup = BeautifulSoup(page_of(*cells), "html.parser")
    assert soup.main.get_text().count("instead") == len(odd)
    assert [place["style"] for place in soup.find_all(class_="figure")] == ["height: 450px"] * len(figures)
    told = json.loads(soup.find("script", id="figures").string)
    assert [f["config"] for f in told] == [CONFIG] * len(figures) and not any("height" in f["layout"] for f in told)


def test_pictures_are_embedded_from_beside_the_notebook_alone(tmp_path):
    (tmp_path / "sent").mkdir()
    for place in ("mine.png", "sent/theirs.png"):
        (tmp_path / place).write_bytes(place.encode())
    (tmp_path / "sent" / "link.png").symlink_to("../mine.png")
    (tmp_path / "sent" / "near.png").symlink_to("theirs.png")
    names = f"theirs.png near.png link.png ../mine.png {tmp_path}/mine.png".split()
    node = new_notebook(cells=[new_markdown_cell(f"![{name}]({name}) <img src='{name}'>") for name in names])
    page = reports.render(node, {}, tmp_path / "sent")
    assert page.count(base64.b64encode(b"sent/theirs.png").decode()) == 4
    assert base64.b64encode(b"mine.png").decode() not in page


def test_what_a_notebook_may_show_stays():
    kept = [
        '<table class="dataframe" border="1"><thead><tr><th scope="col" colspan="2">a</th></tr></thead></table>',
        '<style type="text/css">#T_1 td { text-align: left }</style>'.replace(' type="text/css"', ""),
        '<span style="color: red" title="a title">red</span>',
        '<a href="https://example.com" rel="noopener noreferrer">a link</a>',
        '<img src="data:image/png;base64,AAAA" alt="an image" width="3">',
        '<svg viewBox="0 0 1 1"><path d="M0 0L1 1" fill="none"></path></svg>',
        '<details open=""><summary>more</summary>text</details>',
    ]
    for html in kept:
        assert BeautifulSoup(sanitize(html), "html.parser") == BeautifulSoup(html, "html.parser")
    once = sanitize("".join(HOSTILE))
    assert sanitize(once) == once  # what is read a second time is no other page


def tagged(*outputs: dict) -> nbformat.NotebookNode:
    one = cell(*outputs)
    one.metadata.tags = ["headline"]
    return one


@pytest.mark.slow
def test_the_headline_is_at_the_top_with_its_finding_and_the_facts(tmp_path):
    curve().save(tmp_path)
    sections = [new_markdown_cell(f"## Part {i}") for i in range(3)]
    cells = [new_markdown_cell("# What *lies* between?\n\nProse."), cell(shown(figure=figure("first"))), *sections]
    cells.append(tagged(shown(plain="1"), shown(figure=figure("Loss <b>stays</b> below", meta={"alt": "a line"}))))
    page = reports.render(new_notebook(cells=cells), FACTS, tmp_path)
    soup = BeautifulSoup(page, "html.parser")
    top = soup.find(class_="top")
    assert [top.h1.string, top.find(class_="finding").string] == ["What lies between?", "Loss stays below"]
    assert top.find(id="figure-1")["aria-label"] == "a line" and soup.h1 is soup.find_all("h1")[-1]
    main, first = (f["layout"] for f in json.loads(soup.find(id="figures").string))
    assert first["title"]["text"] == "first" and "title" not in main  # it stands above the figure
    facts = {fact.dt.string: fact.dd.string for fact in top.find_all("div", class_=False)}
    assert facts == {"device": "cpu", "texts": "2 x", "when": "2026-11-22, took 8 min 12 s"}
    assert [a["href"] for a in soup.nav.find_all("a")] == ["#Part-0", "#Part-1", "#Part-2"]
    assert soup.find(class_="moved").a["href"] == "#figure-1"
    levels = [int(heading.name[1]) for heading in soup.find_all(["h1", "h2", "h3", "h4"])]
    assert levels[0] == 1 and all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False))


def test_what_tells_of_the_work_is_folded_away():
    work = "load checkpoints: 3 of 3 in 1.6 s\ntexts: one alpha at a time: 1 with low-rank ends\nline at 0: 1 x minus\n"
    page = page_of(cell(new_output("stream", text=work)), cell(new_output("stream", text=f"{work}rise: 3 of 4\n")))
    soup = BeautifulSoup(page, "html.parser")
    assert [text.get_text().strip() for text in soup.main.find_all("pre", class_="text")] == ["rise: 3 of 4"]
    assert soup.find("details", class_="log").pre.string == (work * 2).strip()


def test_a_notebook_without_results_says_so():
    soup = BeautifulSoup(page_of(new_markdown_cell("# A"), new_code_cell("1 + 1")), "html.parser")
    assert soup.find(class_="finding").string == "This notebook was not executed: the page holds no results."


@pytest.mark.slow
def test_pages_may_share_a_plotly_that_lies_beside_them():
    notebook = new_notebook(cells=[cell(shown(figure=figure())), *[cell(shown(html=text)) for text in HOSTILE]])
    page = reports.render(notebook, {}, Path(), plotly="plotly.js")
    soup = BeautifulSoup(page, "html.parser")
    shared, own = [s for s in soup.find_all("script") if s.get("type") != "application/json"]
    policy = soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert shared["data-src"] == "plotly.js" and PLOTLY_SIGN not in page and own.string
    assert policy.partition("script-src ")[2].startswith(f"'nonce-{shared['nonce']}' 'sha256-")
    assert policy.count("nonce") == 1 and len(page) < 80_000


def test_code_is_folded_or_left_out():
    cells = [cell(shown(plain="seven"), source="answer = 7"), cell(source="  ")]
    folded, bare = page_of(*cells), page_of(*cells, code=False)
    soup = BeautifulSoup(folded, "html.parser")
    assert [d.has_attr("open") for d in soup.find_all("details", class_="code")] == [False]
    assert "answer = 7" in soup.find("details").get_text()
    assert "answer" not in bare and "<details" not in bare and 'id="code"' not in bare.partition("<script")[0]
    assert "seven" in text_of(folded) and "seven" in text_of(bare)


@pytest.mark.slow
def test_widgets_are_dropped_and_twins_kept_for_readers_without_scripts():
    page = page_of(
        cell(shown(widget={"model_id": "x"}, plain="IntSlider(value=0)"), shown(javascript="alert(1)")),
        cell(shown(figure=figure(), png="aGVs\nbG8=", plain="Figure")),
        cell(shown(png="d29ybGQ=")),
        cell(shown(svg="<svg onload='alert(1)'></svg>", plain="a drawing")),
    )
    soup = BeautifulSoup(page, "html.parser")
    assert [img["src"] for img in soup.find_all("img")][:2] == [
        "data:image/png;base64,aGVsbG8=",
        "data:image/png;base64,d29ybGQ=",
    ]
    assert soup.find(id="figure-1").find("img", class_="still")["alt"] == "loss over alpha"
    assert soup.find_all("img")[2]["src"].startswith("data:image/svg+xml;base64,")
    assert "model_id" not in page and "alert" not in page.partition('<script type="application/json"')[0]
    assert "IntSlider" in text_of(page)


def test_a_nan_is_a_gap_in_the_page_too():
    gap = {"data": [{"type": "scatter", "y": [1.0, float("nan"), float("inf")]}], "layout": {}}
    told = BeautifulSoup(page_of(cell(shown(figure=gap))), "html.parser").find(id="figures").string
    assert json.loads(told, parse_constant=pytest.fail)[0]["data"][0]["y"] == [1.0, None, None]


def test_prose_is_rendered_and_formulas_stay_readable():
    page = page_of(
        new_markdown_cell("# A *title*\n\n**bold** and `code`, $\\theta = 1$ costs $5"), cell(shown(plain="1"))
    )
    soup = BeautifulSoup(page, "html.parser")
    assert soup.title.string == "A title"
    assert soup.h1.get_text().startswith("A title") and soup.find("strong").string == "bold"
    assert "$\\theta = 1$ costs $5" in soup.get_text()
    assert soup.find("meta", attrs={"name": "viewport"})["content"] == "width=device-width, initial-scale=1"


def test_the_footer_tells_what_the_run_was():
    page = page_of(cell(shown(plain="1")), facts=FACTS)
    soup = BeautifulSoup(page, "html.parser")
    told = {
        section.h2.string: {d.dt.string: d.dd.string for d in section.dl.find_all("div")}
        for section in soup.footer.find_all("section")
    }
    assert told == {
        "Run": {
            "name": "demo",
            "status": "done",
            "started": "2026-11-22T21:00:00+00:00",
            "finished": "2026-11-22T21:08:12+00:00",
            "took": "8 min 12 s",
            "peak memory": "2.00 GiB",
            "device": "cpu",
            "platform": "Linux x86_64, 2 cores",
        },
        "Parameters": {"minus": "data/adapters/negative", "alphas": "[0.0, 1.0]", "base": "null"},
        "Seeds": {"sampling": "7"},
        "Hashes": {"02_interpolate.ipynb, sha256": "ab" * 32, "minus": "cd" * 32},
        "Versions": {"python": "3.11.7", "torch": "2.13.0"},
    }
    row = {fact.dt.string: fact.dd.string for fact in soup.find(class_="row").find_all("div")}
    assert row == {"device": "cpu", "when": "2026-11-22, took 8 min 12 s"}
    assert soup.header.span.string == "demo"


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [None, "long", float("nan")])
def test_a_length_of_time_that_is_no_number_is_left_out(seconds):
    soup = BeautifulSoup(page_of(cell(shown(plain="1")), facts=FACTS | {"seconds": seconds}), "html.parser")
    assert soup.find(class_="row").get_text(" ") == "device cpu when 2026-11-22"
    assert "took" not in soup.footer.get_text()


@pytest.mark.slow
def test_facts_of_another_kind_are_left_out_and_those_of_a_stranger_are_text(tmp_path):
    evil = HOSTILE[2]
    odd = dict.fromkeys(("parameters", "notebook", "ends", "hashes", "seeds", "versions", "peak_memory_bytes"), [evil])
    told = FACTS | odd | {"seconds": evil, "started": {evil: evil}, "left out": {evil: evil}, "name": [evil]}
    node = new_notebook(cells=[cell(shown(plain="1"))], metadata={"papermill": {"parameters": [evil]}})
    for name, facts in {
        "odd": told,
        "evil": {"parameters": {evil: evil}, "notebook": {"name": evil}},
        "list": [1],
    }.items():
        (tmp_path / name).mkdir()
        nbformat.write(node, tmp_path / name / "executed.ipynb")
        (tmp_path / name / "run.json").write_text(json.dumps(facts), encoding="utf-8")
        soup = BeautifulSoup(reports.write_report(tmp_path / name).read_text(encoding="utf-8"), "html.parser")
        assert soup.find("img") is None and (evil in soup.get_text()) == (name == "evil")
    nbformat.write(new_notebook(metadata={"papermill": evil}), tmp_path / "papermill.ipynb")
    assert reports.write_report(tmp_path / "papermill.ipynb").is_file()


@pytest.mark.slow
def test_a_run_folder_and_a_notebook_each_get_their_page(tmp_path):
    run = tmp_path / "demo"
    run.mkdir()
    notebook = new_notebook(cells=[cell(shown(plain="seven"))])
    nbformat.write(notebook, run / "executed.ipynb")
    (run / "run.json").write_text(json.dumps(FACTS), encoding="utf-8")
    nbformat.write(notebook, tmp_path / "other.ipynb")
    assert reports.write_report(run) == run / "report.html"
    assert reports.write_report(tmp_path / "other.ipynb") == tmp_path / "other.html"
    assert reports.write_report(run, tmp_path / "new" / "page.html", code=False) == tmp_path / "new" / "page.html"
    assert "ab" * 32 in (run / "report.html").read_text(encoding="utf-8")
    assert "sha256" not in text_of((tmp_path / "other.html").read_text(encoding="utf-8"))
    assert sorted(p.name for p in run.iterdir()) == ["executed.ipynb", "report.html", "run.json"]


@pytest.mark.slow
def test_a_notebook_that_no_runner_ran_tells_what_it_knows_itself(tmp_path):
    told = {"device": "cpu, 2 threads", "seeds": {"sampling": [0]}, "hashes": {"minus": "cd" * 32}}
    parameters = new_code_cell("n: int = 3  # points", metadata={"tags": ["parameters"]})
    drawn = cell(shown(figure=figure(meta={"alt": "a figure", "facts": told | {"seconds": 6.4}})))  # the walk's
    notebook = new_notebook(cells=[parameters, cell(shown(figure=figure())), drawn])
    notebook.metadata["papermill"] = {"parameters": {"lo": -1.0}}
    nbformat.write(notebook, tmp_path / "mine.ipynb")
    for page in (
        reports.write_report(tmp_path / "mine.ipynb").read_text(encoding="utf-8"),
        get_exporter("lerpnb-html")().from_filename(str(tmp_path / "mine.ipynb"))[0],
    ):
        soup = BeautifulSoup(page, "html.parser")
        rows = {row.dt.string: row.dd.string for row in soup.footer.find_all("div")}
        assert soup.find(class_="row").get_text(" ") == "device cpu, 2 threads"
        assert rows == {"device": "cpu, 2 threads", "n": "3", "lo": "-1.0", "sampling": "[0]", "minus": "cd" * 32}


@pytest.mark.slow
def test_nbconvert_knows_the_exporter_and_finds_the_facts(tmp_path):
    nbformat.write(new_notebook(cells=[cell(shown(figure=figure()))]), tmp_path / "executed.ipynb")
    (tmp_path / "run.json").write_text(json.dumps(FACTS), encoding="utf-8")
    exporter = get_exporter("lerpnb-html")
    assert exporter is reports.LerpnbExporter
    page, _ = exporter().from_filename(str(tmp_path / "executed.ipynb"))
    assert page.count(PLOTLY_SIGN) == 1 and "ab" * 32 in page
    plain, _ = exporter(exclude_input=True).from_filename(str(tmp_path / "executed.ipynb"))
    assert "<details" not in plain


def test_the_notebook_is_not_changed():
    notebook = new_notebook(cells=[cell(shown(figure=figure(), plain="x"))], metadata={"widgets": {"a": 1}})
    before = nbformat.writes(notebook)
    reports.render(notebook, {}, Path())
    assert nbformat.writes(notebook) == before


def test_nothing_to_read_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("broken.ipynb").write_text("{", encoding="utf-8")
    told = {
        "empty": "write_report('empty'): no file empty/executed.ipynb.\nPass a run folder or an executed .ipynb.",
        "none.ipynb": "write_report('none.ipynb'): no file none.ipynb.\nPass a run folder or an executed .ipynb.",
        "broken.ipynb": "write_report('broken.ipynb'): broken.ipynb is no notebook.\nPass an executed .ipynb.",
    }
    for source, message in told.items():
        with pytest.raises(RunError) as error:
            reports.write_report(source)
        assert str(error.value) == message


def test_what_cannot_be_written_is_told_before_the_page_is_built(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nbformat.write(new_notebook(), "a.ipynb")
    Path("folder").mkdir()
    monkeypatch.setattr(reports, "render", lambda *_: pytest.fail("built a page"))
    messages = {
        "folder": "write_report('a.ipynb'): folder is a folder. Name a file, such as folder/report.html.",
        "folder/../a.ipynb": (
            "write_report('a.ipynb'): folder/../a.ipynb is the notebook. Name another file for its page."
        ),
        "a.ipynb/page.html": "write_report('a.ipynb'): cannot write a.ipynb/page.html: File exists.",
    }
    for output, message in messages.items():
        with pytest.raises(RunError) as error:
            reports.write_report("a.ipynb", output)
        assert str(error.value) == message
    assert sorted(path.name for path in Path().iterdir()) == ["a.ipynb", "folder"]


# ---------------------------------------------------------------- whose machine it was


def test_the_page_says_no_secret_and_no_home_folder_and_how_often_it_left_them_out(monkeypatch):
    planted = {"HOME": "/home/ada_q", "USER": "ada_q", "LOGNAME": "ada_q", "MY_API_KEY": "planted-one"}
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    page = page_of(
        new_markdown_cell("# By /home/ada_q"),
        cell(shown(html="<b>/home/ada_q/x</b>"), shown(figure=figure("of planted-one"))),
        facts={**FACTS, "parameters": {"model": "/home/ada_q/m", "token": "a word"}},
    )
    for word in ("ada_q", "planted-one", "a word"):
        assert word not in page
    rows = {row.dt.string: row.dd.string for row in BeautifulSoup(page, "html.parser").footer.find_all("div")}
    assert (rows["model"], rows["token"], rows["home folder"], rows["secret"]) == ("~/m", "***", "3", "1")
