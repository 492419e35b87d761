"""The loop over alphas: the right values at every one, own probes, nothing paid twice, what repeats not, Ctrl-C."""

import math
import random

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoTokenizer

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.data.corpus import Corpus
from lerpnb.errors import AlphaError, LerpError, NotFiniteError, ProbeError
from lerpnb.evaluation.adaptive import INTERPOLATION, Adaptive
from lerpnb.evaluation.cache import Cache
from lerpnb.evaluation.loop import evaluate
from lerpnb.generation.continuations import Continuations
from lerpnb.paths.line import Line
from lerpnb.probes.base import FunctionProbe, TextFunctionProbe
from lerpnb.probes.loss import Loss
from lerpnb.results.measurement import Measurement
from lerpnb.utils.coordinates import alpha_grid

TEXTS = (
    "the film was a slow and lovely thing",
    "nobody in this picture seems to have read it",
    "it wants to be clever",
)
CORPUS = Corpus(TEXTS, (0, 0, 1), ("bad", "good"), "all")
PROMPTS = Continuations(("the film", "a warm and funny story"), n_samples=2, max_new_tokens=6)


def head_sum(model, tokenizer):
    return model.get_output_embeddings().weight.sum()


def words(text):
    return len(text.split())


@pytest.fixture
def line(tiny_llama_pair) -> Line:
    base, minus, plus = tiny_llama_pair
    return Line(minus, plus, base, device="cpu")


@pytest.mark.slow
def test_values_are_those_of_the_plain_model_at_each_alpha(line, tmp_path):
    curve = evaluate(line, [-0.5, 0, 0.25, 1], [Loss(CORPUS), head_sum], store=tmp_path)
    a, b = (end.model.get_output_embeddings().weight.sum().item() for end in (line.minus, line.plus))
    assert np.allclose(curve.value("head_sum"), [(1 - x) * a + x * b for x in (-0.5, 0, 0.25, 1)], rtol=1e-4)
    for alpha in (0.0, 1.0):
        end = line.minus if alpha == 0 else line.plus
        want = Loss(CORPUS).measure(end.model, line.tokenizer)["loss/all"].value()
        assert curve["loss/all"].set_index("alpha")["value"][alpha] == want
    assert curve.provenance["hashes"]["plus"] == line.plus.sha256 and curve.provenance["dtype"] == "float32"


def test_a_bfloat16_line_never_drifts(tiny_half_pair):
    line = Line(*tiny_half_pair[1:], device="cpu", dtype="bfloat16")
    name = "model.layers.0.mlp.up_proj.weight"
    for alpha in alpha_grid(0, 1, 11):
        live = dict(line.at(alpha).named_parameters())[name]
        want = torch.lerp(line.minus.tensors[name], line.plus.tensors[name], float(alpha)).bfloat16()
        assert torch.equal(live, want)


@pytest.mark.slow
def test_text_probes_share_texts_and_keep_them(line, tmp_path, monkeypatch):
    from lerpnb.evaluation import evaluator

    calls = []
    real = evaluator.sample
    monkeypatch.setattr(evaluator, "sample", lambda *args: calls.append(1) or real(*args))
    probes = [TextFunctionProbe("words", words, PROMPTS, cache_key="1"), TextFunctionProbe("letters", len, PROMPTS)]
    curve = evaluate(line, [0, 0.5, 1], probes, batched=False, store=tmp_path, check=False)
    assert len(calls) == 3 and len(curve.samples) == 3 * 4
    assert list(curve.samples["letters"]) == [float(len(text)) for text in curve.samples["continuation"]]
    at = curve.samples[curve.samples["alpha"] == 0.5]
    assert curve["words"]["value"][1] == pytest.approx(at["continuation"].map(words).mean())


@pytest.mark.slow
@pytest.mark.parametrize("store", [False, True])
def test_alphas_share_a_pass_where_that_pays_and_give_the_same_texts(line, tmp_path, store, capsys):
    grid, probe = [-0.5, 0, 0.25, 1], TextFunctionProbe("words", words, PROMPTS, cache_key="1")
    curves = [
        evaluate(line, grid, [probe], batched=rows, store=store and tmp_path / str(rows)) for rows in (None, False)
    ]
    assert curves[0].samples.equals(curves[1].samples) and (curves[0].value("words") == curves[1].value("words")).all()
    ways = [
        "all 4 alphas in one pass: 4 texts an alpha, of at most 16 with dense ends on cpu.",
        "one alpha at a time: batched=False.",
    ]
    assert [curve.provenance["sampling"] for curve in curves] == [[way] for way in ways]
    assert capsys.readouterr().out == f"texts: {ways[0]}\n"


@pytest.mark.slow
def test_stored_texts_are_never_sampled_again_by_either_way(line, tmp_path, monkeypatch):
    from lerpnb.evaluation import evaluator

    probe = TextFunctionProbe("words", words, PROMPTS, cache_key="1")
    evaluate(line, [0, 1], [probe], batched=False, store=tmp_path, check=False)
    asked, real = [], evaluator.sample_batched
    monkeypatch.setattr(
        evaluator,
        "sample_batched",
        lambda rows, words, group, *rest: asked.append(group) or real(rows, words, group, *rest),
    )
    monkeypatch.setattr(evaluator, "sample", None)
    evaluate(line, [0, 0.25, 0.5, 0.75, 1], [probe], store=tmp_path, check=False)
    assert asked == [[0.25, 0.5, 0.75]]
    evaluate(
        line,
        [0, 0.5, 1],
        [probe, TextFunctionProbe("letters", len, PROMPTS)],
        batched=False,
        store=tmp_path,
        check=False,
    )
    assert len(asked) == 1


@pytest.mark.slow
def test_many_texts_are_sampled_in_passes_that_fit(line, tmp_path, monkeypatch):
    from lerpnb.evaluation import evaluator

    groups, real = [], evaluator.sample_batched
    monkeypatch.setattr(
        evaluator,
        "sample_batched",
        lambda rows, words, group, *rest: groups.append(len(group)) or real(rows, words, group, *rest),
    )
    few = Continuations(PROMPTS.prompts, n_samples=2, max_new_tokens=6, batch_size=8)
    evaluate(
        line,
        [0, 0.25, 0.5, 0.75, 1],
        [TextFunctionProbe("words", words, few)],
        batched=True,
        store=tmp_path,
        check=False,
    )
    assert groups == [2, 2, 1]


@pytest.mark.slow
def test_rows_that_cannot_be_computed_fall_back_and_the_curve_says_why(line, monkeypatch, capsys):
    monkeypatch.setattr(
        "lerpnb.generation.batched_line.unsupported_reason", lambda line: "Odd cannot be computed a row an alpha."
    )
    curve = evaluate(line, [0, 0.5, 1], [TextFunctionProbe("words", words, PROMPTS, cache_key="1")], store=False)
    told = "one alpha at a time: Odd cannot be computed a row an alpha."
    assert curve.provenance["sampling"] == [told] and "texts: " not in capsys.readouterr().out


@pytest.mark.slow
def test_other_samplings_stand_side_by_side(line, tmp_path):
    probes = [
        TextFunctionProbe("words", words, PROMPTS, cache_key="1"),
        TextFunctionProbe("long", words, Continuations(("the film",), n_samples=3, max_new_tokens=9)),
    ]
    curve = evaluate(line, [0, 1], probes, store=tmp_path)
    assert len(curve.samples) == 2 * (4 + 3) and set(curve.samples["sampling"]) == {0, 1}


@pytest.mark.slow
def test_the_same_call_gives_the_same_to_the_last_bit(line, tmp_path):
    probes = [Loss(CORPUS), TextFunctionProbe("words", words, PROMPTS, cache_key="1")]
    one, two = (evaluate(line, [0, 0.3, 1], probes, store=False) for _ in range(2))
    assert one.to_frame().equals(two.to_frame()) and one.samples.equals(two.samples)


@pytest.mark.slow
def test_nothing_is_paid_twice_and_only_what_is_new_is_computed(line, tmp_path):
    def new(curve):
        return curve.provenance["measured"], curve.provenance["from_store"]

    probes = [Loss(CORPUS), TextFunctionProbe("words", words, PROMPTS, cache_key="1")]
    first = evaluate(line, [0, 0.5, 1], probes, store=tmp_path)
    again = evaluate(line, [0, 0.5, 1], probes, store=tmp_path)
    assert new(first) == (6, 0) and new(again) == (0, 6)
    assert first.to_frame().equals(again.to_frame()) and first.samples.equals(again.samples)
    assert first.frame["item_values"].map(list).tolist() == again.frame["item_values"].map(list).tolist()
    assert new(evaluate(line, alpha_grid(0, 1, 5), probes, store=tmp_path)) == (4, 6)
    assert new(evaluate(line, [0, 0.5, 1], [*probes, head_sum], store=tmp_path)) == (3, 6)


@pytest.mark.slow
def test_whatever_changes_a_value_is_a_new_point(line, tmp_path, tiny_llama_pair, tiny):
    def new(line, probe):
        return evaluate(line, [0.0], [probe], store=tmp_path).provenance["measured"]

    base, minus, plus = tiny_llama_pair
    loss, text = Loss(CORPUS), TextFunctionProbe("words", words, PROMPTS, cache_key="1")
    assert (new(line, loss), new(line, text)) == (1, 1) and (new(line, loss), new(line, text)) == (0, 0)
    other = Checkpoint.from_model(tiny.moved(line.plus.model, 5, 1e-6), line.tokenizer)
    assert new(Line(line.minus, other, device="cpu"), loss) == 1
    assert new(Line(line.plus, line.minus, device="cpu"), loss) == 1
    assert new(Line(minus, plus, device="cpu", dtype="bfloat16"), loss) == 1
    assert new(line, Loss(CORPUS.bad, name="all")) == 1
    assert new(line, Loss(CORPUS, max_length=5)) == 1
    for change in ({"seed": 1}, {"n_samples": 3}, {"max_new_tokens": 5}, {"top_p": 0.8}, {"temperature": 0.7}):
        settings = {"n_samples": 2, "max_new_tokens": 6} | change
        assert new(line, TextFunctionProbe("words", words, Continuations(PROMPTS.prompts, **settings))) == 1
    assert (
        new(line, TextFunctionProbe("words", words, Continuations(PROMPTS.prompts[:1], n_samples=2, max_new_tokens=6)))
        == 1
    )
    assert new(line, TextFunctionProbe("words", len, PROMPTS)) == 1


def test_a_probe_that_does_not_repeat_is_refused(line):
    noise = random.Random(0)

    def noisy(model, tokenizer):
        return noise.random()

    with pytest.raises(ProbeError) as error:
        evaluate(line, [0, 1], [noisy], store=False)
    assert str(error.value) == (
        "evaluate(probes): 'noisy' does not repeat: at alpha 0 it is 0.8444218515250481, then 0.7579544029403025.\n"
        "Fix its seed, or pass check=False to measure its noise."
    )
    assert len(evaluate(line, [0, 1], [noisy], store=False, check=False).alphas) == 2


def test_own_probes_return_numbers_items_or_several(line):
    def several(model, tokenizer):
        return {
            "one": 1,
            "items": [1.0, 2.0, 6.0],
            "measure": Measurement([2.0], unit="m"),
            "tensor": torch.tensor([3.0]),
        }

    curve = evaluate(line, [0, 1], [several], store=False)
    values = {name: curve.value(name)[0] for name in curve.quantities}
    assert values == {"several/one": 1.0, "several/items": 3.0, "several/measure": 2.0, "several/tensor": 3.0}


def test_a_nan_stays_a_nan_and_is_named(line):
    def hole(model, tokenizer):
        weight = model.get_output_embeddings().weight
        return math.nan if abs(float(weight[3, 3]) - middle) < 1e-7 else 1.0

    middle = float(line.at(0.5).get_output_embeddings().weight[3, 3])
    curve = evaluate(line, [0, 0.5, 1], [hole], store=False)
    assert np.isnan(curve.value("hole")).tolist() == [False, True, False] and curve.nan_points() == [(0.5, "hole")]
    assert math.isnan(curve.barrier("hole").value)


def test_ctrl_c_returns_what_is_done(line, tmp_path, capsys):
    done = []

    def slow(model, tokenizer):
        if len(done) == 3:
            raise KeyboardInterrupt
        return float(len(done.append(1) or done))

    curve = evaluate(line, alpha_grid(-1, 2, 7), [slow], store=tmp_path, check=False)
    assert curve.alphas.tolist() == [-1.0, 0.0, 1.0]  # the ends come first, so that a barrier can be told
    assert "Interrupted: 3 of 7 points are done." in capsys.readouterr().out


@pytest.mark.slow
def test_ctrl_c_in_a_shared_pass_returns_what_was_stored(line, tmp_path, monkeypatch):
    texts = TextFunctionProbe("words", words, PROMPTS, cache_key="1")
    evaluate(line, [0, 0.5, 1], [texts], store=tmp_path)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lerpnb.evaluation.evaluator.sample_batched", interrupted)
    curve = evaluate(line, alpha_grid(0, 1, 9), [texts], store=tmp_path, batched=True)
    assert curve.alphas.tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("alphas", "probes", "kind", "said"),
    [
        ([0, 0.5, 0.5], [head_sum], AlphaError, "evaluate(points): 0.5 is given twice.\nGive each point once."),
        (
            [],
            [head_sum],
            AlphaError,
            "evaluate(points): no points.\nPass some, such as ln.alpha_grid(-1, 2, 13) or plane.grid(5).",
        ),
        (["a"], [head_sum], AlphaError, "evaluate(points): 'a' is not a finite number. Pass one, such as 0.5."),
        ([0, math.nan], [head_sum], AlphaError, "evaluate(points): nan is not a finite number. Pass one, such as 0.5."),
        ([0], [], ProbeError, "evaluate(probes): no probes.\nPass one or more, such as ln.Loss(corpus)."),
        (
            [0],
            [head_sum, head_sum],
            ProbeError,
            "evaluate(probes): two probes are called 'head_sum'.\nGive one of them another name.",
        ),
        (
            [0],
            [3],
            ProbeError,
            "evaluate(probes): 3 is no probe.\n"
            "A probe is ln.Loss, ln.AttributeStrength, a function of (model, tokenizer), or an object with "
            "name, identity() and measure(model, tokenizer).",
        ),
        (
            [0],
            [FunctionProbe("odd", lambda model, tokenizer: "text")],
            ProbeError,
            "probe 'odd': its function returned str.\n"
            "It returns a number, one number an item, a Measurement, or a dict of those.",
        ),
        (
            [0],
            [FunctionProbe("forgot", lambda model, tokenizer: None)],
            ProbeError,
            "probe 'forgot': its function returned NoneType.\n"
            "It returns a number, one number an item, a Measurement, or a dict of those.",
        ),
        (
            [0],
            [FunctionProbe("empty", lambda model, tokenizer: {})],
            ProbeError,
            "probe 'empty': its function returned dict.\n"
            "It returns a number, one number an item, a Measurement, or a dict of those.",
        ),
        (
            [0],
            [TextFunctionProbe("odd", lambda text: None, PROMPTS)],
            ProbeError,
            "probe 'odd': its function must return a number for a text: float() argument must be a string or a real "
            "number, not 'NoneType'.",
        ),
    ],
)
def test_what_cannot_be_measured_is_said(line, alphas, probes, kind, said):
    with pytest.raises(kind) as error:
        evaluate(line, alphas, probes, store=False)
    assert str(error.value) == said


def test_the_callers_tokenizer_and_ends_stay(line, tiny_llama_pair):
    before = line.minus.sha256, AutoTokenizer.from_pretrained(tiny_llama_pair[1]).get_vocab()
    evaluate(line, [0, 2], [Loss(CORPUS)], store=False)
    del line.minus.__dict__["_sha256"]
    assert (line.minus.sha256, line.tokenizer.get_vocab()) == before


@pytest.mark.slow
def test_a_damaged_record_is_said_and_computed_again(line, tmp_path):
    first = evaluate(line, [0, 1], [Loss(CORPUS)], store=tmp_path)
    for i, file in enumerate(sorted(tmp_path.glob("points/*/*.json"))):
        text = file.read_text()
        file.write_text(text[: len(text) // 2] if i else text.replace("nats", "nuts"))
    with pytest.warns(UserWarning, match="is damaged: its point is computed again"):
        again = evaluate(line, [0, 1], [Loss(CORPUS)], store=tmp_path)
    assert again.provenance["measured"] == 2 and first.to_frame().equals(again.to_frame())


def test_a_store_shows_its_size_and_can_be_emptied(tmp_path, monkeypatch):
    store = Cache(tmp_path)
    store.put({"a": 1}, {"x": Measurement([0.1, math.nan], [1, 0])})
    assert repr(store).startswith(f"Cache({tmp_path.name}: 1 records") and store.get({"a": 2}) is None
    assert store.get({"a": 1})[0]["x"].value() == 0.1
    store.clear()
    assert len(store) == 0 and store.get({"a": 1}) is None
    monkeypatch.setenv("LERPNB_STORE", str(tmp_path / "other"))
    assert Cache().folder == tmp_path / "other"


def test_a_store_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "points").write_text("a file in the way")
    with pytest.raises(LerpError, match="Finished points stay. Make room, or give evaluate"):
        Cache(tmp_path).put({"a": 1}, {})


@pytest.mark.slow
def test_own_probes_are_stored_under_their_key_alone(line, tmp_path, capsys):
    scale = [1.0]

    def scaled(model, tokenizer):
        return scale[0]

    class Own:
        name = "own"

        def identity(self):
            return {"probe": "own"}

        def measure(self, model, tokenizer):
            return {"own": Measurement([scale[0]])}

    def values(*probes):
        return [*evaluate(line, [0.0], probes, store=tmp_path).frame["value"]]

    assert values(scaled, Own()) == [1.0, 1.0]
    said = "measured each time: it is your own, without a cache_key.\n"
    assert capsys.readouterr().out == f"store: 'scaled' is {said}store: 'own' is {said}"
    scale[0] = 2.0
    assert values(scaled, Own()) == [2.0, 2.0]
    Own.cache_key = scaled.cache_key = "two"
    assert values(scaled, Own()) == [2.0, 2.0]
    scale[0] = 3.0
    assert values(scaled, Own()) == [2.0, 2.0]  # their author's promise
    assert "store: 2 of 2 measurements are from the store, of " in capsys.readouterr().out
    Own.cache_key = scaled.cache_key = "three"
    assert values(scaled, Own()) == [3.0, 3.0]


@pytest.mark.slow
def test_fresh_measures_anew_and_says_what_differs(line, tmp_path, capsys):
    values = iter([1.0, 2.0, 3.0, 5.0, 5.0])
    probe = FunctionProbe("own", lambda model, tokenizer: next(values), cache_key="1")
    evaluate(line, [0, 1], [probe], store=tmp_path, check=False)
    curve = evaluate(line, [0, 1], [probe, Loss(CORPUS)], store=tmp_path, check=False, fresh=True)
    assert curve.value("own").tolist() == [3.0, 5.0] and curve.provenance["from_store"] == 0
    differ = "2 values differ.\nown at 0 was 1.0 and is 3.0\nown at 1 was 2.0 and is 5.0\n"
    assert f"store: of 2 measurements made anew, {differ}" in capsys.readouterr().out
    assert evaluate(line, [0, 1], [probe], store=tmp_path, check=False).value("own").tolist() == [3.0, 5.0]


@pytest.mark.slow
def test_another_tokenizer_or_network_is_a_new_point(tiny, tmp_path, tiny_llama_pair):
    from tokenizers.processors import TemplateProcessing

    models = [Checkpoint.load(folder).model for folder in tiny_llama_pair[1:]]
    bos = tiny.tokenizer()
    bos.backend_tokenizer.post_processor = TemplateProcessing(single="<unk> $A", special_tokens=[("<unk>", 0)])
    values = []
    for tokens, eps in ((tiny.tokenizer(), 1e-6), (bos, 1e-6), (tiny.tokenizer(), 0.5)):
        for model in models:
            model.config.rms_norm_eps = eps
            for module in model.modules():
                if hasattr(module, "variance_epsilon"):
                    module.variance_epsilon = eps
        line = Line(*(Checkpoint.from_model(model, tokens) for model in models), device="cpu")
        stored, fresh = (evaluate(line, [0.0], [Loss(CORPUS)], store=store) for store in (tmp_path, False))
        assert stored.provenance["measured"] == 1 and stored.to_frame().equals(fresh.to_frame())
        values.append(fresh.value("loss/all")[0])
    assert len(set(values)) == 3


def test_a_probe_that_moves_the_line_does_not_mislead_the_next(line):
    def wanders(model, tokenizer):
        line.at(7.0)
        return 1.0

    both = evaluate(line, [0, 0.5, 1], [wanders, Loss(CORPUS)], store=False)
    alone = evaluate(line, [0, 0.5, 1], [Loss(CORPUS)], store=False)
    assert both.value("loss/all").tolist() == alone.value("loss/all").tolist()


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["tiny_llama_pair", "tiny_adapter_pair"])
def test_a_probe_that_writes_to_the_weights_misleads_nobody(request, pair):
    base, minus, plus = request.getfixturevalue(pair)
    clean, spoilt = (Line(minus, plus, base, device="cpu") for _ in range(2))

    def writes(model, tokenizer):
        for parameter in model.parameters():
            parameter.fill_(1.0)
        return 1.0

    def all_sum(model, tokenizer):
        return sum(parameter.double().sum() for parameter in model.parameters())

    both = evaluate(spoilt, [0, 0.5, 1], [writes, all_sum], store=False)
    alone = evaluate(clean, [0, 0.5, 1], [all_sum], store=False)
    assert both.value("all_sum").tolist() == alone.value("all_sum").tolist()
    writes(spoilt.model, None)
    assert all_sum(spoilt.at(0.5), None) == all_sum(clean.at(0.5), None)


@pytest.mark.slow
def test_an_alpha_that_cannot_be_used_is_a_gap_and_costs_no_other(tiny_llama_pair, tmp_path):
    line = Line(*tiny_llama_pair[1:], device="cpu", dtype="float16")
    with pytest.warns(UserWarning, match="alpha 100000: sample.*hold NaN or infinity"):
        curve = evaluate(
            line, [0, 1, 1e5], [TextFunctionProbe("words", words, PROMPTS, cache_key="1")], store=tmp_path, check=False
        )
    assert np.isnan(curve.value("words")).tolist() == [False, False, True] and curve.nan_points() == [(1e5, "words")]
    assert sorted(curve.samples["alpha"].unique()) == [0.0, 1.0]


@pytest.mark.slow
def test_what_is_stored_is_not_measured_again_to_see_whether_it_repeats(line, tmp_path, monkeypatch):
    calls = []
    real = Loss.measure
    monkeypatch.setattr(Loss, "measure", lambda self, *args: calls.append(1) or real(self, *args))
    for expected in (4, 4):  # twice a few texts, then two points; then nothing
        evaluate(line, [0, 1], [Loss(CORPUS)], store=tmp_path)
        assert len(calls) == expected


def test_live_models_without_a_tokenizer_are_said(tiny):
    line = Line(tiny.llama(1), tiny.llama(2), device="cpu")
    with pytest.raises(ProbeError) as error:
        evaluate(line, [0], [Loss(CORPUS)])
    assert str(error.value) == (
        "evaluate(path): the Line has no tokenizer.\nWrap live models: Checkpoint.from_model(model, tokenizer)."
    )


def test_alphas_may_be_any_numbers_and_a_store_is_a_store(line):
    for alphas in ((0, 1), range(2), np.array([0, 1], dtype=np.float32), torch.tensor([0.0, 1.0]), (a for a in (0, 1))):
        assert evaluate(line, alphas, [head_sum], store=False).alphas.tolist() == [0.0, 1.0]
    with pytest.raises(ProbeError) as error:
        evaluate(line, [0], [head_sum], store=5)
    assert str(error.value) == (
        "evaluate(store): got 5.\nIt takes a folder, a Cache, True for the default folder, or False."
    )


def test_texts_longer_than_the_model_are_said(line):
    long = Corpus(("the film " * 100,), (0,), ("x",), "long")
    with pytest.raises(ProbeError, match="but the model has 128 positions.\nPass Loss.corpus, max_length=128."):
        evaluate(line, [0], [Loss(long)], store=False)


@pytest.mark.slow
def test_two_samplings_keep_their_prompts_apart(line):
    probes = [
        TextFunctionProbe("a", words, PROMPTS),
        TextFunctionProbe("b", words, Continuations(("nobody",), n_samples=2, max_new_tokens=4)),
    ]
    curve = evaluate(line, [0, 1], probes, store=False, check=False)
    assert curve.same_texts(0, 0) == 1.0 and len(curve.side_by_side(9)) == 3


@pytest.mark.slow
def test_adaptive_sampling_places_its_own_alphas_and_estimates_its_error(line, tmp_path, capsys):
    curve = evaluate(line, probes=[Loss(CORPUS)], adaptive=Adaptive((-0.5, 1.5), tol=0.01), store=tmp_path)
    told = curve.provenance["placement"]
    assert {-0.5, 0.0, 1.0, 1.5} <= set(curve.alphas) and told["points"] == len(curve.alphas)
    assert told["reached"] and told["error_believed"] <= told["tol"] == 0.01 and told["most"] == 50
    assert told["quantities"] == ["loss/all"] and told["interpolation"] == INTERPOLATION
    said = f"{len(curve.alphas)} alphas, estimated error {told['error_believed']:.2g}: within the tolerance of 0.01"
    assert said in capsys.readouterr().out
    again = evaluate(line, probes=[Loss(CORPUS)], adaptive=Adaptive((-0.5, 1.5), tol=0.01), store=tmp_path)
    assert again.provenance["measured"] == 0 and again.to_frame().equals(curve.to_frame())


@pytest.mark.slow
def test_placed_alphas_measure_what_given_ones_do(line):
    probes = [Loss(CORPUS), TextFunctionProbe("words", words, PROMPTS)]
    placed = evaluate(line, probes=probes, adaptive=Adaptive((-1, 2), tol=0.01), store=False, check=False)
    given = evaluate(line, [-1, 0, 1, 2], probes, store=False, check=False)
    assert placed.provenance["from_store"] == given.provenance["from_store"] == 0  # each was measured
    frame, samples = (found[found["alpha"].isin(given.alphas)] for found in (placed.frame, placed.samples))
    pd.testing.assert_frame_equal(given.frame, frame.reset_index(drop=True), check_exact=True)
    pd.testing.assert_frame_equal(given.samples, samples.reset_index(drop=True), check_exact=True)


@pytest.mark.slow
def test_a_tolerance_that_is_not_reached_keeps_what_was_found(line, tmp_path, capsys):
    curve = evaluate(line, probes=[Loss(CORPUS)], adaptive=Adaptive((-1, 2), tol=1e-7, max_points=9), store=tmp_path)
    assert len(curve.alphas) == 9 and not curve.provenance["placement"]["reached"]
    assert "the tolerance of 1e-07 is not reached" in capsys.readouterr().out
    assert evaluate(line, curve.alphas, [Loss(CORPUS)], store=tmp_path).provenance["measured"] == 0


def test_without_a_loss_the_first_probe_is_watched_and_a_nan_ends(line):
    def hole(model, tokenizer):
        return {"a": math.nan if line.here > 1 else line.here**2, "b": line.here > 0.3}

    curve = evaluate(
        line,
        probes=[hole, FunctionProbe("late", head_sum)],
        adaptive=Adaptive((0, 2), tol=0.01),
        store=False,
        check=False,
    )
    told = curve.provenance["placement"]
    assert told["quantities"] == ["hole/a"] and told["points"] < 20
    assert (2.0, "hole/a") in curve.nan_points()


@pytest.mark.slow
def test_ctrl_c_ends_adaptive_sampling_too(line, capsys):
    import lerpnb.plots  # noqa: F401  gives curves their figure

    done = []

    def slow(model, tokenizer):
        if len(done) == 3:
            raise KeyboardInterrupt
        return float(len(done.append(1) or done))

    curve = evaluate(line, probes=[slow], adaptive=Adaptive((-1, 2)), store=False, check=False)
    assert curve.alphas.tolist() == [-1.0, 0.0, 1.0] and curve.plot() is not None  # and it plots
    assert curve.provenance["placement"]["error_believed"] is None
    assert "Interrupted: 3 of at most 50 points are done." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"points": [0, 1], "adaptive": Adaptive((0, 1))},
            "evaluate(points, adaptive): both are given.\nadaptive places the points itself. Pass one of them.",
        ),
        ({"adaptive": (0, 1)}, "evaluate(adaptive): got (0, 1).\nPass ln.evaluation.Adaptive((-1, 2)), say."),
        ({"adaptive": Adaptive(3)}, "Adaptive(domain): got 3.\nIt takes two alphas, such as (-1, 2)."),
        ({"adaptive": Adaptive((1, 0))}, "Adaptive(domain=(1, 0)): expected the lower alpha first."),
        (
            {"adaptive": Adaptive((0, 1), max_points=3)},
            "Adaptive(max_points): got 3.\nIt takes a whole number, 7 or more.",
        ),
        (
            {"adaptive": Adaptive((0, 1), tol=-1)},
            "Adaptive(tol): got -1.\nIt is an error above 0, such as 0.003 nats a token.",
        ),
    ],
)
def test_what_cannot_be_placed_is_said_before_any_work(line, arguments, said):
    def never(model, tokenizer):
        raise AssertionError("work was done")

    with pytest.raises(AlphaError) as error:
        evaluate(line, probes=[never], store=False, **arguments)
    assert str(error.value) == said


@pytest.mark.slow
@pytest.mark.parametrize("probe", [Loss(CORPUS), TextFunctionProbe("words", words, PROMPTS)])
def test_float16_that_overflows_is_refused(tiny_untied_pair, probe):
    def line(dtype):
        ends = [Checkpoint.load(folder) for folder in tiny_untied_pair[1:]]
        for end in ends:
            end.weights["lm_head.weight"].mul_(0).add_(1.0)
            end.weights["model.norm.weight"].mul_(0).add_(60_000.0)  # the logits lie beyond 65,504
        return Line(*(end.with_weights(end.weights, "large") for end in ends), device="cpu", dtype=dtype)

    assert np.isfinite(evaluate(line("float32"), [0, 1], [probe], store=False).value(probe.name)).all()
    with pytest.raises(NotFiniteError, match="at alpha 0 the float16 model's logits are not finite"):
        evaluate(line("float16"), [0, 1], [probe], store=False, check=False)
