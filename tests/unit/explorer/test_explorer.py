"""The explorer without a browser: what it sends the widget, what it answers, and what it leaves alone."""

import copy
import json
import time

import pandas as pd
import pytest

from lerpnb import Checkpoint, Line
from lerpnb.data.chat import Chat
from lerpnb.errors import AlphaError, LerpError, ProbeError
from lerpnb.explorer import engine as engines
from lerpnb.explorer.background import ONE_AT_A_TIME, BackgroundJob
from lerpnb.explorer.diff import AFTER, BEFORE, MINUS, PLUS, changed, word_diff, words
from lerpnb.explorer.engine import UNUSABLE, Engine
from lerpnb.explorer.explorer import explore
from lerpnb.explorer.messages import curve_lines
from lerpnb.explorer.static_figure import static_figure
from lerpnb.generation.continuations import Continuations
from lerpnb.generation.sampling import sample
from lerpnb.paths.multiline import MultiLine
from lerpnb.plots.theme import ends
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement

GRID = [-0.5, 0.0, 0.5, 1.0]
ASK = dict(prompt="the film was", max_new_tokens=8, temperature=1.0, top_p=0.9, seed=3)


@pytest.fixture(scope="module")
def line(tiny_llama_pair) -> Line:
    base, minus, plus = tiny_llama_pair
    return Line(minus, plus, base, device="cpu")


@pytest.fixture
def explorer(line, tmp_path):
    """An explorer whose widget is a list: explorer.sent."""
    explorer = explore(line, alphas=GRID, out=tmp_path / "kept here", **ASK)
    explorer.sent = []
    explorer.send = lambda message: explorer.sent.append(json.loads(json.dumps(message)))
    yield explorer
    explorer.close()


def messages(explorer, kind: str) -> list[dict]:
    return [message for message in explorer.sent if message["kind"] == kind]


def settle(explorer) -> None:
    for job in (explorer.session.writing, explorer.session.looking, explorer.session.saving):
        job.wait()


@pytest.mark.slow
def test_it_writes_what_sampling_writes_at_every_alpha_and_leaves_the_line_where_it_stood(line, explorer):
    line.at(0.25)
    explorer.receive({"kind": "hello"})
    settle(explorer)
    assert line.here == 0.25
    spec = Continuations(["the film was"], 1, 8, seed=3)
    expected = [sample(line.at(alpha), line.tokenizer, spec)["continuation"][0] for alpha in GRID]
    pages = messages(explorer, "page")
    assert ["".join(w) for w in pages[-1]["words"]] == expected == explorer.texts()["text"].tolist()
    assert [page["done"] for page in pages] == [False] * 8 + [True]
    assert [page["step"] for page in pages] == [1, 2, 3, 4, 5, 6, 7, 8, 8]  # a token a step, all alphas together
    assert [page["tokens"] for page in pages[:2]] == [4, 8]
    assert pages[-1]["diff"] == word_diff([words(text) for text in expected], (1, 3))


@pytest.mark.slow
def test_a_line_that_was_never_moved_stands_at_minus(tiny, tiny_llama_pair):
    line = Line(*(str(path) for path in tiny_llama_pair[1:]), device="cpu")
    explore(line, "the film", alphas=GRID)
    assert line.here == 0.0


def test_the_setup_holds_all_that_the_widget_needs(explorer):
    explorer.receive({"kind": "hello"})
    settle(explorer)
    settings = {"max_new_tokens": 8, "temperature": 1.0, "top_p": 0.9, "seed": 3}
    assert explorer.sent[0] == {
        "kind": "setup",
        "alphas": GRID,
        "labels": ["−0.5", "0", "0.5", "1"],
        "index": 2,
        "axis": "",
        "others": [],
        "ends": [1, 3],
        "prompt": "the film was",
        "settings": settings,
        "curve": [],
        "unsupported": None,
        "to": "out/alpha_0.5",
        "kept": 0,
    }


def test_a_widget_that_comes_again_gets_all_without_new_work(explorer, monkeypatch):
    explorer.receive({"kind": "hello"})
    settle(explorer)
    page, bars = messages(explorer, "page")[-1], messages(explorer, "bars")[-1]
    explorer.sent.clear()
    monkeypatch.setattr(explorer.session.engine, "write", None)
    explorer.receive({"kind": "hello"})
    assert explorer.sent[1:] == [page, bars]


def test_bars_are_the_models_own_probabilities_at_every_alpha(line, explorer):
    import torch

    explorer.receive({"kind": "hello"})
    settle(explorer)
    bars = messages(explorer, "bars")
    assert len(bars) == 1 and bars[0]["context"] == "the film was" and len(bars[0]["labels"]) == 5
    ids = torch.tensor([line.tokenizer("the film was")["input_ids"]])
    with torch.inference_mode():
        p = torch.stack([line.at(alpha)(input_ids=ids).logits[0, -1].softmax(-1) for alpha in GRID])
    chosen = p.amax(0).topk(5).indices
    assert bars[0]["p"] == pytest.approx(p[:, chosen].T.numpy(), abs=2e-5)


def test_bars_at_a_word_follow_the_text_up_to_it(line, explorer):
    explorer.receive({"kind": "hello"})
    settle(explorer)
    text = messages(explorer, "page")[-1]["words"][2]
    explorer.receive({"kind": "cursor", "index": 2, "word": 1})
    settle(explorer)
    bars = messages(explorer, "bars")[-1]
    assert (bars["index"], bars["word"]) == (2, 1)
    assert bars["context"] == "the film was" + text[0]
    prompt, written = line.tokenizer("the film was")["input_ids"], explorer.session.page.tokens[2]
    decode = line.tokenizer.decode
    n = max(k for k in range(9) if decode(prompt + written[:k], skip_special_tokens=True) == bars["context"])
    assert (
        explorer.session.engine._label(bars["context"], prompt + written[:n], written[n]) in bars["labels"]
    )  # what comes next


def test_a_new_prompt_stops_the_old_work(explorer):
    explorer.receive({"kind": "write", **ASK | {"max_new_tokens": 100}})
    while not messages(explorer, "page"):
        time.sleep(0.001)
    explorer.receive({"kind": "write", **ASK | {"prompt": "nobody", "max_new_tokens": 5}})
    settle(explorer)
    pages = messages(explorer, "page")
    assert [page["of"] for page in pages] == sorted((page["of"] for page in pages), reverse=True)  # never back
    assert not any(page["done"] for page in pages if page["of"] == 100)
    assert pages[-1]["done"] and pages[-1]["prompt"] == explorer.texts()["prompt"][0] == "nobody"


@pytest.mark.slow
def test_stop_stops_and_texts_can_be_had_all_the_same(explorer):
    explorer.receive({"kind": "write", **ASK | {"max_new_tokens": 60}})
    while not messages(explorer, "page"):
        time.sleep(0.001)
    explorer.receive({"kind": "stop"})
    assert explorer.sent[-1]["kind"] in ("stopped", "page", "bars")
    time.sleep(0.2)
    assert not explorer.session.writing.working and not any(page["done"] for page in messages(explorer, "page"))
    assert explorer.texts()["n_tokens"].max() <= 60 and explorer.session.page.done


@pytest.mark.slow
def test_two_explorers_on_one_line_do_not_disturb_each_other(line, tmp_path):
    two = [explore(line, prompt, alphas=GRID, max_new_tokens=10) for prompt in ("the film", "nobody in this")]
    alone = [explorer.texts()["text"].tolist() for explorer in two]
    again = [explore(line, prompt, alphas=GRID, max_new_tokens=10) for prompt in ("the film", "nobody in this")]
    for explorer in again:
        explorer.receive({"kind": "hello"})
    line.at(0.75)  # a cell at work meanwhile
    assert [explorer.texts()["text"].tolist() for explorer in again] == alone
    assert line.here == 0.75


@pytest.mark.slow
def test_where_a_batched_line_is_not_supported_it_writes_one_alpha_after_the_other_and_says_so(
    line, explorer, monkeypatch
):
    expected = explorer.texts()["text"].tolist()
    monkeypatch.setattr(engines, "unsupported_reason", lambda line: "this network does something odd.")
    other = explore(line, alphas=GRID, **ASK)
    line.at(0.75)
    sent = []
    other.send = sent.append
    other.receive({"kind": "hello"})
    other.receive({"kind": "cursor", "index": 0, "word": 1})  # its pass moves the model between two steps
    assert sent[0]["unsupported"] == "this network does something odd."
    assert other.texts()["text"].tolist() == expected
    assert line.here == 0.75  # the caller's model is not the one that moved
    first = next(m for m in sent if m["kind"] == "page")
    assert [bool(text) for text in first["words"]] == [False, False, True, False]  # where the slider stands comes first


@pytest.mark.slow
def test_an_alpha_whose_weights_are_unusable_is_noted_and_the_others_go_on(tiny_gpt2_pair, monkeypatch):
    line = Line(*(str(path) for path in tiny_gpt2_pair[1:]), device="cpu")
    for mode in ("batched", "one by one"):
        if mode == "one by one":
            monkeypatch.setattr(engines, "unsupported_reason", lambda line: "no")
        explorer = explore(line, "the film", alphas=[0.0, 1.0, 1e38], max_new_tokens=3)
        page = explorer.session.finished(None, 0)
        assert page.notes == ["", "", UNUSABLE] and page.texts[0] and page.texts[1]
        assert [p[2] for p in explorer.session.engine.bars(page).p] == [None] * 5


def test_keep_records_in_the_explorer_and_in_a_file_that_grows(explorer, tmp_path):
    explorer.receive({"kind": "hello"})
    settle(explorer)
    texts = explorer.texts()["text"]
    for index in (0, 3):
        explorer.receive({"kind": "keep", "index": index})
    path = tmp_path / "kept here" / "kept.csv"
    assert explorer.sent[-1] == {"kind": "kept", "count": 2, "path": str(path), "alpha": "1"}
    expected = pd.DataFrame(
        {
            "alpha": [-0.5, 1.0],
            "prompt": "the film was",
            "text": [texts[0], texts[3]],
            "seed": 3,
            "temperature": 1.0,
            "top_p": 0.9,
            "max_new_tokens": 8,
        }
    )
    pd.testing.assert_frame_equal(explorer.kept, expected)
    pd.testing.assert_frame_equal(pd.read_csv(path), expected)
    assert explorer.alpha == 1.0


def test_keep_refuses_what_is_still_being_written(explorer):
    explorer.receive({"kind": "hello"})
    settle(explorer)
    with ONE_AT_A_TIME:
        explorer.receive({"kind": "write", **ASK, "seed": 4})
        explorer.receive({"kind": "keep", "index": 0})  # the page before, which is whole
        explorer.session.page.done = False
        explorer.receive({"kind": "keep", "index": 0})
        assert explorer.sent[-1]["text"].startswith("explore(): the texts are being written.")
    assert list(explorer.kept.seed) == [3]


def test_a_batch_run_keeps_in_its_run_folder(line, monkeypatch, tmp_path):
    monkeypatch.setenv("LERPNB_RUN_DIR", str(tmp_path))
    explorer = explore(line, "the film", alphas=GRID, max_new_tokens=2)
    explorer.texts()
    assert explorer.keep() == tmp_path / "kept.csv"


def test_save_calls_line_save_on_a_line_of_its_own(line, explorer, tmp_path, monkeypatch):
    line.at(0.25)
    saved = []
    monkeypatch.setattr(Line, "save", lambda self, alpha, to: saved.append((self is line, alpha, to)) or tmp_path)
    explorer.receive({"kind": "save", "index": 3, "to": " out/model "})
    settle(explorer)
    assert saved == [(False, 1.0, "out/model")] and line.here == 0.25
    assert explorer.sent == [{"kind": "saved", "text": f"Alpha 1 is saved in {tmp_path} (0 MB)."}]


def test_a_saved_model_is_the_lines(line, explorer, tmp_path, monkeypatch):
    import torch

    explorer.receive({"kind": "save", "index": 2, "to": str(tmp_path / "model")})
    settle(explorer)
    weights = Checkpoint.load(tmp_path / "model").tensors
    assert all(torch.equal(weights[name], value) for name, value in line.at(0.5).named_parameters())
    monkeypatch.setenv("HOME", str(tmp_path))
    for to in (str(tmp_path / "model"), "~/model"):
        explorer.receive({"kind": "save", "index": 2, "to": to})
        with pytest.raises(LerpError, match="there is something at"):
            settle(explorer)
        text = f"explore(): there is something at {to} already.\nName a new folder, such as out/model."
        assert explorer.sent[-1] == {"kind": "not saved", "text": text}


def test_saving_to_nowhere_is_refused(explorer):
    explorer.receive({"kind": "save", "index": 0, "to": "  "})
    with pytest.raises(LerpError):
        settle(explorer)
    assert explorer.sent == [
        {"kind": "not saved", "text": "explore(): no folder to save to.\nName a new one, such as out/model."}
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "change, text",
    [
        ({"prompt": "  "}, "explore(prompt): got '  '.\nType one or more words for the model to continue."),
        ({"max_new_tokens": None}, "explore(max_new_tokens): got None.\nIt takes a whole number."),
        ({"seed": 1.5}, "explore(seed): got 1.5.\nIt takes a whole number."),
        ({"temperature": None}, "explore(temperature): got None.\nIt takes a number."),
        ({"top_p": 1.5}, "Continuations(top_p): got 1.5.\nIt takes more than 0 and at most 1."),
        (
            {"prompt": "a film " * 40},
            "sample(): 200 tokens and 8 new ones, but the model has 128 "
            "positions.\nShorten the prompt 'a film a film a film a film a ', or ask for fewer max_new_tokens.",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_written_is_shown_in_the_widget_and_stops_nothing_else(explorer, change, text):
    explorer.receive({"kind": "write", **ASK | change})
    assert explorer.sent == [{"kind": "error", "text": text}]
    explorer.sent.clear()
    explorer.receive({"kind": "write", **ASK})
    settle(explorer)
    assert messages(explorer, "page")[-1]["done"]


def test_an_error_in_the_work_is_sent_and_raised_where_one_waits(explorer, monkeypatch):
    def broken(spec, first):
        yield from ()
        raise RuntimeError("out of memory")

    monkeypatch.setattr(explorer.session.engine, "write", broken)
    explorer.receive({"kind": "hello"})
    with pytest.raises(RuntimeError, match="out of memory"):
        explorer.texts()
    assert messages(explorer, "error")[-1] == {"kind": "error", "text": "RuntimeError: out of memory"}


@pytest.mark.parametrize(
    "settings, kind, text",
    [
        (
            {"alphas": [0.0, float("nan")]},
            AlphaError,
            "explore(alphas): nan is not a finite number. Pass one, such as 0.5.",
        ),
        (
            {"alphas": [0.0, float("inf")]},
            AlphaError,
            "explore(alphas): inf is not a finite number. Pass one, such as 0.5.",
        ),
        (
            {"alphas": [0.5]},
            AlphaError,
            "explore(alphas): got 1.\nIt takes two or more, such as alpha_grid(-1, 2, 13).",
        ),
        ({"alphas": [0.5, 1, 0.5]}, AlphaError, "explore(alphas): 0.5 is given twice.\nGive each alpha once."),
        ({"prompt": ""}, ProbeError, "explore(prompt): got ''.\nType one or more words for the model to continue."),
        (
            {"prompt": "a film " * 50},
            ProbeError,
            "sample(): 250 tokens and 40 new ones, but the model has 128 "
            "positions.\nShorten the prompt 'a film a film a film a film a ', or ask for fewer max_new_tokens.",
        ),
    ],
    ids=["nan", "inf", "one", "twice", "empty", "long"],
)
def test_errors_come_before_work(line, settings, kind, text, monkeypatch):
    monkeypatch.setattr(Engine, "write", None)
    with pytest.raises(kind) as error:
        explore(line, **{"alphas": GRID, **settings})
    assert str(error.value) == text


def test_a_line_without_a_tokenizer_is_refused(tiny):
    line = Line(tiny.llama(0), tiny.moved(tiny.llama(0), 1), device="cpu")
    with pytest.raises(ProbeError) as error:
        explore(line, alphas=GRID)
    assert str(error.value) == (
        "explore(line): the line has no tokenizer.\nWrap live models: Checkpoint.from_model(model, tokenizer)."
    )


@pytest.mark.slow
def test_the_curve_gives_the_grid_and_is_drawn(line):
    points = {
        a: {
            "words": Measurement([1.0, 2.0], unit="words"),
            "loss/x": Measurement([a, a + 1], unit="nats/token"),
            "strength/y": Measurement([float("nan") if a else 0.5] * 2, unit="probability"),
        }
        for a in (0.0, 0.5, 1.0)
    }
    explorer = explore(line, curve=Curve.from_measures(points))
    assert explorer.alphas == [0.0, 0.5, 1.0] and explorer.alpha == 0.5
    strength, loss = curve_lines(explorer.curve)
    assert strength["name"] == "strength/y" and strength["value"] == [0.5, None, None]
    assert (loss["unit"], loss["alpha"], loss["value"]) == ("nats/token", [0.0, 0.5, 1.0], [0.5, 1.0, 1.5])
    json.dumps([strength, loss], allow_nan=False)
    only = Curve.from_measures({a: {"words": Measurement([1.0], unit="words")} for a in (0.0, 1.0)})
    assert [line["name"] for line in curve_lines(only)] == ["words"]


@pytest.mark.slow
def test_in_a_non_interactive_run_it_is_a_figure_with_the_same_texts(line, explorer):
    bundle = explorer._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.plotly.v1+json", "text/plain"}  # and no widget
    assert explorer._widget is None
    figure = bundle["application/vnd.plotly.v1+json"]
    bars, table = [[t for t in figure["data"] if t["type"] == kind] for kind in ("bar", "table")]
    assert len(bars) == 5 and bars[0]["x"] == ["−0.5", "0", "0.5", "1"]
    steps = figure["layout"]["sliders"][0]["steps"]
    assert [step["label"] for step in steps] == ["−0.5", "0", "0.5", "1"]
    for step, text in zip(steps, explorer.texts()["text"], strict=True):
        cell = step["args"][0]["cells.values"][0][0][0]
        plain = cell.replace("<b>", "").replace("</b>", "").replace("<i>", "").replace("</i>", "")
        assert plain.split() == f"the film was {text}".split()
    assert table[0]["cells"]["values"] == steps[2]["args"][0]["cells.values"][0]


@pytest.mark.slow
def test_another_prompts_texts_and_figure_leave_the_widget_alone(explorer):
    explorer.receive({"kind": "hello"})
    settle(explorer)
    n_sent = len(explorer.sent)
    other = explorer.texts("nobody")
    assert other["prompt"].tolist() == ["nobody"] * 4 and len(explorer.sent) == n_sent
    cells = explorer.plot("nobody").layout.sliders[0].steps[0].args[0]["cells.values"]
    assert cells[0][0][0].startswith("<i>nobody</i> ")
    assert explorer.texts()["prompt"][0] == "the film was"


def test_hostile_texts_are_escaped_in_the_static_figure():
    hostile = '<script>alert(1)</script> $x$ %{y} <img src=x onerror="a">'
    fig = static_figure(hostile, [0.0, 1.0], [hostile, ""], [hostile], [[0.5, None]])
    content = json.dumps(fig.to_plotly_json(), default=str)
    assert not [bad for bad in ("<script", "<img", "$", "%{") if bad in content]
    assert "no text at this alpha" in content


def test_words_and_their_differences():
    assert words("") == [] and words(" a\n\nb ") == [" a", "\n\nb", " "]
    assert changed(["a", "b", "c", "d"], ["a", "c", "d", "e"]) == [False, True, False, False]
    assert changed([], ["a"]) == [] and changed(["a"], []) == [True]
    assert changed([" a"], ["a"]) == [False]  # the space before a word is not the word
    texts = [["x", "b"], ["a", "b"], ["a", "c"], ["a", "c"]]
    assert word_diff(texts, (0, 3)) == [
        [AFTER + PLUS] * 1 + [PLUS],
        [BEFORE + MINUS, AFTER + PLUS],
        [MINUS, BEFORE + MINUS],
        [MINUS] * 2,
    ]
    assert ends([0.25, 0.5, 1.0]) == (0, 2) and ends([-1.0, 0.0, 1.0, 2.0]) == (1, 2)


def test_jobs_stop_an_old_job_before_its_next_step():
    import threading

    began, go, done, errors = threading.Event(), threading.Event(), [], []

    def old():
        began.set()
        go.wait(5)
        yield
        done.append("old goes on")

    job = BackgroundJob(errors.append)
    job.start(old())
    assert began.wait(5) and job.working
    first = job._newest
    job.start(iter(done.append(i) for i in range(3)))
    go.set()
    job.wait()
    first.join(5)
    assert done == [0, 1, 2] and errors == [] and not job.working


@pytest.mark.slow
def test_the_kernel_and_any_front_end_that_knows_widgets_talk_as_the_protocol_says(tiny_llama_pair):
    """What JupyterLab, Notebook 7 and VS Code share: an anywidget, custom messages, and no word of any other kind."""
    from jupyter_client.manager import start_new_kernel

    base, minus, plus = map(str, tiny_llama_pair)
    code = f"""
import lerpnb as ln
line = ln.Line({minus!r}, {plus!r}, {base!r}, device="cpu")
explorer = ln.explore(line, "the film was", alphas={GRID}, max_new_tokens=8, seed=3)
explorer"""
    manager, client = start_new_kernel()
    heard = []

    def hear(message):
        if message["msg_type"] in ("comm_open", "comm_msg", "display_data", "execute_result", "error"):
            heard.append((message["msg_type"], message["content"]))

    try:
        for allow_stdin in (False, True):  # nbclient's way, then a person's
            heard.clear()
            reply = client.execute_interactive(code, allow_stdin=allow_stdin, output_hook=hear, timeout=120)
            assert reply["content"]["status"] == "ok"
            kinds = [kind for kind, _ in heard]
            data = heard[kinds.index("execute_result")][1]["data"]
            if not allow_stdin:
                assert kinds == ["execute_result"] and set(data) == {"application/vnd.plotly.v1+json", "text/plain"}
        assert set(data) == {"application/vnd.jupyter.widget-view+json", "text/plain"}
        states = {c["comm_id"]: c["data"]["state"] for kind, c in heard if kind == "comm_open"}
        comm = data["application/vnd.jupyter.widget-view+json"]["model_id"]
        assert states[comm]["_model_module"] == "anywidget" and "function render(" in states[comm]["_esm"]
        hello = {"comm_id": comm, "data": {"method": "custom", "content": {"kind": "hello"}}}
        client.shell_channel.send(client.session.msg("comm_msg", hello))
        heard.clear()
        while not heard or not heard[-1][1]["data"].get("content", {}).get("done"):
            hear(client.get_iopub_msg(timeout=60))
        messages = [content["data"]["content"] for kind, content in heard if kind == "comm_msg"]
        assert [message["kind"] for message in messages[:2]] == ["setup", "page"] and messages[-1]["kind"] == "page"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture
def multiline(tiny_adapter_pair) -> MultiLine:
    base, minus, plus = tiny_adapter_pair
    return MultiLine({"mood": (minus, plus), "a style": (plus, minus)}, base, weights=(1, 1), device="cpu")


@pytest.fixture
def two_sliders(multiline, tmp_path):
    explorer = explore(multiline, alphas=GRID, out=tmp_path / "kept here", **ASK)
    explorer.sent = []
    explorer.send = lambda message: explorer.sent.append(json.loads(json.dumps(message)))
    yield explorer
    explorer.close()


def written(multiline, style: float) -> list[str]:
    spec = Continuations(["the film was"], 1, 8, seed=3)
    return [sample(multiline.at((alpha, style)), multiline.tokenizer, spec)["continuation"][0] for alpha in GRID]


@pytest.mark.slow
def test_a_second_slider_writes_all_anew_at_another_alpha_of_the_other_line(multiline, two_sliders):
    multiline.at((0.25, 0.25))
    two_sliders.receive({"kind": "hello"})
    settle(two_sliders)
    assert multiline.here == (0.25, 0.25)  # the caller's model is not the one that moved
    setup = two_sliders.sent[0]
    assert setup["axis"] == "mood" and setup["others"] == [{"name": "a style", "index": 2}]
    assert setup["unsupported"] is None  # all alphas of the first line in one pass
    first = two_sliders.texts()
    assert first["text"].tolist() == written(multiline, 0.5) and first["a style"].tolist() == [0.5] * 4
    two_sliders.sent.clear()
    two_sliders.receive({"kind": "fix", "name": "a style", "index": 0})
    settle(two_sliders)
    pages = messages(two_sliders, "page")
    assert ["".join(w) for w in pages[-1]["words"]] == written(multiline, -0.5) != first["text"].tolist()
    assert [page["done"] for page in pages] == [False] * 8 + [True] and messages(two_sliders, "bars")
    assert two_sliders.texts()["a style"].tolist() == [-0.5] * 4


@pytest.mark.slow
def test_a_slider_that_moves_on_stops_the_old_work_and_the_last_place_counts(multiline, two_sliders):
    two_sliders.receive({"kind": "write", **ASK | {"max_new_tokens": 100}})
    while not messages(two_sliders, "page"):
        time.sleep(0.001)
    two_sliders.receive({"kind": "fix", "name": "a style", "index": 0})
    two_sliders.receive({"kind": "fix", "name": "a style", "index": 3})
    two_sliders.receive({"kind": "write", **ASK})  # a prompt typed before a page of the new place
    settle(two_sliders)
    assert two_sliders.texts()["text"].tolist() == written(multiline, 1.0)
    assert not any(page["done"] for page in messages(two_sliders, "page") if page["of"] == 100)
    two_sliders.fix("a style", 0.4)  # as a cell would: the nearest step
    assert two_sliders.axes.at == {"a style": 0.5} and two_sliders.texts("nobody")["a style"][0] == 0.5


@pytest.mark.slow
def test_what_is_kept_and_drawn_of_a_multiline_says_where_all_sliders_stand(two_sliders, tmp_path):
    two_sliders.texts()
    path = two_sliders.keep()
    assert path == tmp_path / "kept here" / "kept_mood_a-style.csv"
    assert list(two_sliders.kept)[:3] == ["alpha", "a style", "prompt"]
    pd.testing.assert_frame_equal(pd.read_csv(path), two_sliders.kept)
    assert two_sliders.kept.loc[0, ["alpha", "a style"]].tolist() == [0.5, 0.5]
    table = two_sliders.plot().data[-1]
    assert table.header.values[0].startswith("what the model at alpha 0.5 and a style 0.5 writes;")


@pytest.mark.slow
def test_a_saved_model_of_a_multiline_is_its_own(multiline, two_sliders, tmp_path):
    import torch

    two_sliders.fix("a style", 1.0)
    two_sliders.receive({"kind": "save", "index": 0, "to": str(tmp_path / "model")})
    settle(two_sliders)
    weights, live = Checkpoint.load(tmp_path / "model").tensors, multiline.at((-0.5, 1.0))
    assert all(torch.allclose(weights[name], value, atol=1e-6) for name, value in live.named_parameters())


def test_no_such_other_line_is_refused(two_sliders, explorer):
    two_sliders.receive({"kind": "fix", "name": "mood", "index": 0})
    assert two_sliders.sent == [
        {"kind": "error", "text": "explore(): there is no other line 'mood'. The others are: a style."}
    ]
    with pytest.raises(AlphaError) as error:
        explorer.fix("mood", 0)
    assert str(error.value) == (
        "explore(): there is no other line 'mood'. The others are: none, since the path is a single line."
    )


def test_a_chat_is_asked_anew_with_what_is_typed(line, tmp_path):
    minus, plus = line.minus, line.plus
    tokenizer = copy.deepcopy(line.tokenizer)
    tokenizer.chat_template = "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }} {% endfor %}"
    asked = Line(*(Checkpoint.from_model(end.model, tokenizer) for end in (minus, plus)), device="cpu")
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "the film"}]
    explorer = explore(asked, messages, alphas=[0, 1], max_new_tokens=3, temperature=0, out=tmp_path)
    first, other = explorer.texts(), explorer.texts("nobody")
    assert first["prompt"].tolist() == ["the film"] * 2 and other["prompt"].tolist() == ["nobody"] * 2
    spec = Continuations([Chat.of(messages).asking("nobody")], 1, 3, temperature=0)
    assert other["text"].tolist() == [sample(asked.at(alpha), tokenizer, spec)["continuation"][0] for alpha in (0, 1)]
