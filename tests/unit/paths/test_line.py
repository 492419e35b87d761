"""The line: exact ends, float64 agreement, ties, saving, grids, and what it says of itself."""

import copy
import math
import warnings

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.devices import pick_dtype, writable_tensors
from lerpnb.checkpoints.low_rank import LowRank
from lerpnb.data.corpus import Corpus
from lerpnb.errors import AlphaError, CheckpointError, LerpError
from lerpnb.paths.line import Line, _rounded
from lerpnb.probes.loss import Loss
from lerpnb.utils.coordinates import alpha_grid
from lerpnb.utils.tensor_names import block_of

PAIRS = ["tiny_llama_pair", "tiny_untied_pair", "tiny_gpt2_pair", "tiny_half_pair", "tiny_adapter_pair"]


@pytest.fixture(params=PAIRS)
def line(request) -> Line:
    base, minus, plus = request.getfixturevalue(request.param)
    return Line(minus, plus, base, device="cpu")


def ids() -> torch.Tensor:
    return torch.arange(3, 19).view(2, 8)


@pytest.mark.slow
def test_the_ends_are_met_bit_for_bit_and_nothing_else_is_touched(line):
    before = {end: end.sha256 for end in (line.minus, line.plus, line.base)}
    for alpha, end in ((0.37, None), (1.0, line.plus), (-1.0, None), (0.0, line.minus), (2, None), (1, line.plus)):
        model = line.at(alpha)
        if end:
            live = dict(model.named_parameters())
            assert all(torch.equal(live[n].view(torch.int32), end.tensors[n].view(torch.int32)) for n in live)
            assert torch.equal(model(ids()).logits, end.model(ids()).logits)
    for end, digest in before.items():
        del end.__dict__["_sha256"]
        assert end.sha256 == digest


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [-1.0, 0.1, 0.5, 1 / 3, 0.99, 2.0])
def test_every_element_agrees_with_float64(line, alpha):
    live = dict(line.at(alpha).named_parameters())
    for name, tensor in live.items():
        a, b = line.minus.tensors[name].double(), line.plus.tensors[name].double()
        error = ((1 - alpha) * a + alpha * b - tensor.double()).abs()
        size = torch.maximum(a.abs(), b.abs())
        if isinstance(line.minus.weights[name], LowRank):  # a rounding is a share of what is added up: base and deltas
            ends = (line.minus.weights[name], line.plus.weights[name])
            added = [end.scaling * (end.up.abs() @ end.down.abs()) for end in ends]
            added = [delta.T if end.transposed else delta for delta, end in zip(added, ends, strict=True)]
            size = line.base.tensors[name].abs() + abs(1 - alpha) * added[0] + abs(alpha) * added[1]
        assert (error <= 1e-6 * size + 1e-300).all(), name


@pytest.mark.slow
def test_tied_weights_are_mixed_once_and_stay_tied(tiny_llama_pair, tiny_gpt2_pair):
    for _, minus, plus in (tiny_llama_pair, tiny_gpt2_pair):
        line = Line(minus, plus, device="cpu")
        model = line.at(0.5)
        assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
        name = next(n for n in line.minus.tensors if "embed" in n or "wte" in n)
        want = (line.minus.tensors[name] + line.plus.tensors[name]) / 2
        assert torch.allclose(model.get_output_embeddings().weight, want, atol=1e-7)


@pytest.mark.slow
def test_a_tied_and_an_untied_head_make_an_untied_line(tiny, tmp_path):
    words, tied = tiny.tokenizer(), tiny.llama()
    untied = tiny.llama(tied=False)
    minus, plus = tiny.save(tied, tmp_path / "tied", words), tiny.save(untied, tmp_path / "untied", words)
    model = Line(minus, plus, device="cpu").at(0.25)
    head = 0.75 * tied.model.embed_tokens.weight + 0.25 * untied.lm_head.weight
    embedding = 0.75 * tied.model.embed_tokens.weight + 0.25 * untied.model.embed_tokens.weight
    assert torch.allclose(model.lm_head.weight, head, atol=1e-6)
    assert torch.allclose(model.model.embed_tokens.weight, embedding, atol=1e-6)


def test_a_callers_models_never_change(tiny):
    words, models = tiny.tokenizer(), [tiny.llama(seed) for seed in (1, 2)]
    before = [{n: p.clone() for n, p in m.named_parameters()} for m in models]
    line = Line(*(Checkpoint.from_model(m, words) for m in models), device="cpu")
    for alpha in (0, 0.5, 1, 2):
        line.at(alpha)
    for model, old in zip(models, before, strict=True):
        assert all(torch.equal(p, old[n]) and p.requires_grad for n, p in model.named_parameters())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_what_is_saved_loads_as_an_ordinary_model(line, tmp_path, dtype):
    folder = line.save(0.8, tmp_path / "model", dtype=dtype)
    loaded = AutoModelForCausalLM.from_pretrained(folder)
    live = line.at(0.8)
    if dtype is None:
        assert torch.equal(loaded(ids()).logits, live(ids()).logits)
    else:
        assert loaded.dtype == torch.bfloat16 and live.dtype == torch.float32
    assert (
        AutoTokenizer.from_pretrained(folder)("a good film")["input_ids"] == line.tokenizer("a good film")["input_ids"]
    )
    card = (folder / "README.md").read_text()
    assert line.minus.sha256 in card and "0.2 x minus + 0.8 x plus" in card and str(tmp_path) not in card


@pytest.mark.slow
def test_saving_never_overwrites_without_being_told(tiny_llama_pair, tmp_path):
    line = Line(*tiny_llama_pair[1:], device="cpu")
    folder = line.save(0.5, tmp_path / "model")
    with pytest.raises(CheckpointError, match="there already.\nTake another folder, or pass overwrite=True."):
        line.save(0.6, folder)
    before = AutoModelForCausalLM.from_pretrained(folder)(ids()).logits
    line.save(0.6, folder, overwrite=True)
    assert not torch.equal(AutoModelForCausalLM.from_pretrained(folder)(ids()).logits, before)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [math.nan, math.inf, "0.5", None, True, 1j])
def test_an_alpha_is_a_finite_number(tiny_llama_pair, alpha):
    line = Line(*tiny_llama_pair[1:], device="cpu")
    with pytest.raises(AlphaError) as error:
        line.at(alpha)
    assert str(error.value) == f"Line.at(alpha): {alpha!r} is not a finite number. Pass one, such as 0.5."


def test_a_grid_holds_0_and_1_exactly_wherever_they_lie_inside(capsys):
    for lo, hi, n in ((-0.3, 1.3, 17), (-1, 2, 13), (-3, 4, 37), (0, 1, 2), (-0.1, 1.1, 100), (1 / 3, 5 / 3, 7)):
        grid = alpha_grid(lo, hi, n)
        assert grid[0] == lo and grid[-1] == hi and (np.diff(grid) > 0).all() and len(grid) >= n
        for end in (0.0, 1.0):
            assert (end in grid) == (lo <= end <= hi)
            assert not ((np.abs(grid - end) < 1e-6) & (grid != end)).any()
    assert len(alpha_grid(-0.3, 1.3, 17)) == 17 and len(alpha_grid(-1, 2, 13)) == 13
    capsys.readouterr()
    assert alpha_grid(-0.5, 1.5, 4).tolist() == [-0.5, 0.0, 0.166666666667, 0.833333333333, 1.0, 1.5]
    assert capsys.readouterr().out == "alpha_grid(-0.5, 1.5, 4): 0 and 1 inserted, so 6 alphas\n"
    assert alpha_grid(2, 3, 3).tolist() == [2.0, 2.5, 3.0]


@pytest.mark.parametrize(("lo", "hi", "n"), [(1, 0, 5), (0, 0, 5), (0, 1, 1), (0, 1, 2.5)])
def test_what_is_no_grid_is_refused(lo, hi, n):
    with pytest.raises(AlphaError) as error:
        alpha_grid(lo, hi, n)
    assert str(error.value) == f"alpha_grid({lo}, {hi}, {n}): expected lo below hi and 2 or more points."


def test_the_summary_is_closed_form(tiny):
    words, base = tiny.tokenizer(), tiny.llama()
    ends = [tiny.llama(), tiny.llama()]
    with torch.no_grad():
        for scale, end in zip((1.0, -2.0), ends, strict=True):
            for parameter in end.parameters():
                parameter += scale * 0.01
    line = Line(*(Checkpoint.from_model(m, words) for m in (*ends, base)), device="cpu")
    total = line.summary().loc["all"]
    count = sum(p.numel() for p in base.parameters())
    assert total["parameters"] == count and total["tensors"] == len(list(base.parameters()))
    assert total["distance"] == pytest.approx(0.03 * math.sqrt(count), rel=1e-4)
    assert total["cosine"] == pytest.approx(-1.0, abs=1e-4)
    norm = math.sqrt(sum(p.double().square().sum().item() for p in ends[0].parameters()))
    assert total["relative"] == pytest.approx(total["distance"] / norm, rel=1e-4)
    assert list(line.summary().index) == ["embeddings", "layer 0", "layer 1", "rest", "all"]


def test_resolution_says_what_bfloat16_loses(tiny):
    words, base = tiny.tokenizer(), tiny.llama()
    near = tiny.moved(base, 3, 0.0005)
    ends = [Checkpoint.from_model(m, words) for m in (base, near)]
    fine, coarse = (Line(*ends, device="cpu", dtype=dtype).resolution for dtype in ("float32", "bfloat16"))
    assert fine > 0.999 and coarse < 0.7
    assert Line(ends[0], ends[0], device="cpu", dtype="bfloat16").resolution == 1.0


@pytest.mark.slow
def test_resolutions_of_a_known_delta(tiny):
    base = tiny.llama()
    with (
        torch.no_grad()
    ):  # theta(1/2) is 1 + 2^-n everywhere: n bits beyond 1 hold it, and fewer lose half of the delta

        def ends(n):
            return [shifted(base, 1.0), shifted(base, 1.0 + 2.0 ** (1 - n))]

        def shifted(model, value):
            made = copy.deepcopy(model)
            for parameter in made.parameters():
                parameter.fill_(value)
            return made

        found = {n: Line(*ends(n), device="cpu").resolutions for n in (7, 8, 10, 11, 20)}
    kept = {dtype: [n for n in found if found[n][dtype] == 1] for dtype in found[7]}
    assert kept == {"float32": [7, 8, 10, 11, 20], "tf32": [7, 8, 10], "float16": [7, 8, 10], "bfloat16": [7]}
    assert found[8]["bfloat16"] == found[11]["tf32"] == found[11]["float16"] == 0.5


def test_tf32_is_float32_with_ten_bits_of_fraction():
    drawn = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * 1e3
    mantissa, exponent = np.frexp(drawn.double().numpy())
    assert _rounded(drawn, "tf32").double().numpy() == pytest.approx(
        np.ldexp(np.round(mantissa * 2048) / 2048, exponent), rel=0
    )


def test_the_dtype_is_chosen_by_what_fits(monkeypatch):
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (80 * 2**30, 80 * 2**30))
    assert pick_dtype(torch.device("cpu"), 0, 8 * 10**9, {"bfloat16"}) == ("float32", "")
    assert pick_dtype(gpu, 4 * 10**9, 10**9, {"bfloat16"}) == ("float32", "")
    assert pick_dtype(gpu, 32 * 10**9, 8 * 10**9, {"bfloat16"}) == ("float32", "")
    kind, why = pick_dtype(gpu, 42 * 10**9, 10 * 10**9, {"bfloat16"})
    assert kind == "bfloat16" and "would need 76.4 of the 80.0 GiB" in why
    assert pick_dtype(gpu, 42 * 10**9, 10 * 10**9, {"float16"})[0] == "float16"
    assert pick_dtype(gpu, 42 * 10**9, 10 * 10**9, {"float16", "float32"})[0] == "bfloat16"


@pytest.mark.slow
def test_a_line_says_in_one_line_which_dtype_was_taken_and_what_it_keeps(line, monkeypatch, capsys):
    ends = line.minus, line.plus
    for kind in ("float16", "bfloat16"):
        monkeypatch.setattr("lerpnb.paths.base.pick_dtype", lambda *_, kind=kind: (kind, f"live model in {kind}: why"))
        capsys.readouterr()
        taken = Line(*ends, device="cpu")
        said = capsys.readouterr().out
        share = taken._resolutions((kind,), every=17)[kind]
        assert said == f"live model in {kind}: why; about {share:.0%} of the delta survives the rounding.\n"
        assert next(taken.at(0.5).parameters()).dtype == getattr(torch, kind)


@pytest.mark.slow
def test_it_shows_itself(line):
    text, html = repr(line), line._repr_html_()
    assert "mixed in float32" in text and "cosine of the two deltas" in text and "survives" not in text
    rounded = Line(line.minus, line.plus, line.base, device="cpu", dtype="bfloat16")
    assert f"{rounded.resolution:.1%} of the delta survives rounding to bfloat16" in repr(rounded)
    assert "layer 1" in html and "embeddings" in html and "<table" in html


def test_dtypes_have_names(tiny_llama_pair):
    with pytest.raises(AlphaError) as error:
        Line(*tiny_llama_pair[1:], dtype="float8")
    assert str(error.value) == "Line(dtype='float8'): no such dtype.\nIt is one of: auto, float32, bfloat16, float16."


def test_blocks_of_other_families():
    names = ["transformer.h.11.attn.c_attn.weight", "transformer.wpe.weight", "gpt_neox.layers.0.mlp.dense.bias"]
    assert [block_of(name) for name in names] == ["layer 11", "embeddings", "layer 0"]


def test_a_checkpoint_moves_to_the_lines_device(tiny_llama_pair):
    ends = [Checkpoint.load(folder) for folder in tiny_llama_pair[1:]]
    assert ends[0].to("cpu") is ends[0]
    line = Line(*ends, device="meta")  # a device without values: where things are is all there is to see
    assert {t.device.type for t in (*line.minus.tensors.values(), *line.model.parameters())} == {"meta"}
    assert line.at(0.5).device.type == "meta" and ends[0].model.device.type == "cpu"


def test_adapters_share_their_base_where_they_are_moved(tiny_adapter_pair):
    minus = Checkpoint.load(tiny_adapter_pair.minus)
    plus = Checkpoint.load(tiny_adapter_pair.plus, base=minus.base)
    moved: dict = {}
    for end in (minus, plus, minus.base):
        assert {weight.device.type for weight in end.to("meta", moved).weights.values()} == {"meta"}
    assert len(moved) == 22 + 2 * 2 * 4  # the base once, and two factors of four layers an end


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["tiny_llama_pair", "tiny_adapter_pair"])
def test_ends_that_stay_in_host_memory_stream_into_the_live_model(request, pair):
    line = Line(*request.getfixturevalue(pair)[1:], device="meta", ends_device="cpu")
    assert {weight.device.type for weight in (*line.minus.weights.values(), *line.plus.weights.values())} == {"cpu"}
    for alpha in (0, 0.5, 1):
        assert {parameter.device.type for parameter in line.at(alpha).parameters()} == {"meta"}
    assert line.device.type == "meta" and line.summary().loc["all", "distance"] > 1


@pytest.mark.slow
@pytest.mark.parametrize("device_map", ["auto", {"": "cpu"}, {"model": "cpu", "lm_head": "cpu"}])
def test_a_model_that_accelerate_dispatched_is_mixed_measured_and_saved(tiny_llama_pair, tmp_path, device_map):
    plain = Line(*tiny_llama_pair, device="cpu")
    spread = Line(plain.minus, plain.plus, device_map=device_map)
    assert spread.device.type == "cpu" and (spread.minus, spread.plus) == (plain.minus, plain.plus)
    texts = Corpus(("a good film", "a slow and lovely thing"), (0, 0), ("any",), "texts")
    for alpha in (0.3, 1.0):
        assert torch.equal(spread.at(alpha)(input_ids=ids()).logits, plain.at(alpha)(input_ids=ids()).logits)
        losses = [Loss(texts).measure(line.at(alpha), line.tokenizer) for line in (spread, plain)]
        assert losses[0]["loss/texts"].value() == losses[1]["loss/texts"].value()
    saved = AutoModelForCausalLM.from_pretrained(spread.save(0.3, tmp_path / "model"))
    assert torch.equal(saved(input_ids=ids()).logits, plain.at(0.3)(input_ids=ids()).logits)


@pytest.mark.slow
def test_each_tensor_is_mixed_where_a_device_map_puts_it(tiny_untied_pair):
    """The meta device stands for a card; the layer that accelerate offloads to the host is mixed in the host."""
    device_map = {"model.embed_tokens": "meta", "model.layers.0": "cpu", "model.layers.1": "meta"}
    device_map |= {"model.norm": "meta", "model.rotary_emb": "meta", "lm_head": "meta"}
    spread, plain = Line(*tiny_untied_pair[1:], device_map=device_map), Line(*tiny_untied_pair[1:], device="cpu")
    lives, expected = writable_tensors(spread.at(0.3)), dict(plain.at(0.3).named_parameters())
    for name, tensor in lives.items():
        inside = ".layers.0." in name
        assert tensor.device.type == ("cpu" if inside else "meta"), name
        assert {end.weights[name].device.type for end in (spread.minus, spread.plus)} == {tensor.device.type}
        assert not inside or torch.equal(tensor, expected[name])
    assert len(lives) == 23 and spread.device.type == "meta"
    host = Line(*tiny_untied_pair[1:], device_map=device_map, ends_device="cpu")
    assert {weight.device.type for weight in host.minus.weights.values()} == {"cpu"}
    assert torch.equal(
        writable_tensors(host.at(0.3))["model.layers.0.mlp.up_proj.weight"], lives["model.layers.0.mlp.up_proj.weight"]
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("device_map", "text"),
    [
        ("balanced", "spread(device_map='balanced'): expected \"auto\" or {module: device}."),
        (
            {"model": "cpu", "lm_head": "disk"},
            "spread(device_map): the disk is to hold 1 of its modules: lm_head.\n"
            "A path writes to every weight at every point: the live model needs the memory of the devices and "
            "the host.",
        ),
        (
            {"model": "cpu"},
            "spread(device_map): no device for 1 of its tensors: lm_head.weight.\n"
            'Name all modules, or give {"": device} for what is whole on one.',
        ),
        (
            {"model": "cpu", "lm_head": "meta"},
            "spread(device_map): model.embed_tokens.weight is offloaded to the host.\n"
            "Name a device for its module: the tokens go there.",
        ),
    ],
)
def test_a_device_map_that_cannot_be_walked_is_refused(tiny_untied_pair, device_map, text):
    with pytest.raises(CheckpointError) as error:
        Line(*tiny_untied_pair[1:], device_map=device_map)
    assert str(error.value) == text


def test_a_device_map_to_a_device_that_is_not_there_is_refused(tiny_untied_pair):
    with pytest.raises(LerpError, match="'cuda:99'.: no such device on this machine"):
        Line(*tiny_untied_pair[1:], device_map={"": 99})


@pytest.mark.slow
def test_one_model_twice_and_heads_that_began_apart_are_said(tiny, tmp_path, tiny_llama_pair):
    base, minus, plus = map(str, tiny_llama_pair)
    with warnings.catch_warnings(action="error"):
        line = Line(minus, plus, base, device="cpu")
        assert "same weights" not in repr(line)
        Line(line.minus, line.minus, device="cpu")  # a checkpoint given twice is meant
    with pytest.warns(UserWarning, match="both ends hold the same weights, so every alpha is the same model"):
        assert "both ends hold the same weights" in repr(Line(minus, minus, base, device="cpu"))
    first, second = tiny.classifier(), tiny.classifier()
    torch.nn.init.normal_(second.classifier.weight)
    ends = [str(tiny.save(model, tmp_path / name, tiny.tokenizer())) for model, name in ((first, "a"), (second, "b"))]
    with pytest.warns(UserWarning, match=r"each end has a classification head of its own(.|\n)*with_head"):
        Line(*ends, device="cpu")
