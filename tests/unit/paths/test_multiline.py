"""Products of lines and points derived from them: values in closed form, low rank kept, and what is refused."""

import pytest
import torch

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.low_rank import LowRank
from lerpnb.errors import AlphaError
from lerpnb.generation.batched_line import BatchedLine
from lerpnb.paths.combine import checkpoint_at, combined
from lerpnb.paths.line import Line
from lerpnb.paths.multiline import MultiLine
from lerpnb.paths.simplex import Simplex


@pytest.fixture(scope="module")
def adapters(tiny, tiny_adapter_pair, tmp_path_factory) -> tuple[Checkpoint, list[Checkpoint]]:
    """A base and four adapters on it."""
    folder, base = tmp_path_factory.mktemp("more"), Checkpoint.load(tiny_adapter_pair.base)
    more = [tiny.adapter(tiny_adapter_pair.base, folder / str(seed), seed) for seed in (23, 24)]
    return base, [Checkpoint.load(end, base) for end in (tiny_adapter_pair.minus, tiny_adapter_pair.plus, *more)]


@pytest.fixture(scope="module")
def gpt2_adapters(tiny, tiny_gpt2_adapter_pair, tmp_path_factory) -> tuple[Checkpoint, list[Checkpoint]]:
    folder, base = tmp_path_factory.mktemp("more-gpt2"), Checkpoint.load(tiny_gpt2_adapter_pair.base)
    more = [tiny.adapter(tiny_gpt2_adapter_pair.base, folder / str(seed), seed) for seed in (23, 24)]
    pair = tiny_gpt2_adapter_pair.minus, tiny_gpt2_adapter_pair.plus
    return base, [Checkpoint.load(end, base) for end in (*pair, *more)]


def two_lines(found, **how) -> MultiLine:
    base, (sad, glad, plain, ornate) = found
    return MultiLine({"mood": (sad, glad), "style": (plain, ornate)}, base, device="cpu", **how)


def far(model, tensors) -> float:
    return max((live.double() - tensors[name].double()).abs().max().item() for name, live in model.named_parameters())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adapters", "gpt2_adapters"])
@pytest.mark.parametrize("weights", [None, (2.0, 0.5)])
def test_it_is_the_formula_tensor_by_tensor(request, kind, weights):
    found = request.getfixturevalue(kind)
    product, at = two_lines(found, weights=weights), (0.25, 1.5)
    base, (sad, glad, plain, ornate) = found
    model, (first, second) = product.at(at), weights or (0.5, 0.5)
    for name, live in model.named_parameters():
        a, b, c, d, o = (end.tensors[name].double() for end in (sad, glad, plain, ornate, base))
        want = (1 - first - second) * o + first * (0.75 * a + 0.25 * b) + second * (-0.5 * c + 1.5 * d)
        assert (live.double() - want).abs().max() <= 2e-6 * max(1.0, want.abs().max())


@pytest.mark.slow
def test_of_full_models_too(tiny_llama_pair):
    ends = tiny_llama_pair.minus, tiny_llama_pair.plus
    product = MultiLine({"mood": ends, "style": ends[::-1]}, tiny_llama_pair.base, weights=(1, 1), device="cpu")
    assert list(product.checkpoints) == ["mood minus", "mood plus", "style minus", "style plus", "base"]
    a, b, _, _, o = (end.tensors for end in product.checkpoints.values())
    model = product.at((0.5, 0.25))  # style's alpha runs the other way
    assert far(model, {name: 0.75 * a[name] + 1.25 * b[name] - o[name] for name in o}) < 1e-6


def test_its_coefficients_are_the_simplexs_and_printed(adapters):
    product = two_lines(adapters)
    assert product.coefficients((0.25, 1)) == (0.375, 0.125, 0.0, 0.5)
    assert two_lines(adapters, weights=(1, 1)).coefficients((0, 1)) == (1.0, 0.0, 0.0, 1.0, -1.0)
    assert repr(two_lines(adapters, weights=(1, 1))) == "MultiLine: mood, style; weights 1, 1, base -1"
    base, ends = adapters
    simplex = Simplex(dict(zip("abcd", ends, strict=True)), base, device="cpu")
    assert far(product.at((0.25, 1)), dict(simplex.at((0.375, 0.125, 0.0, 0.5)).named_parameters())) == 0
    assert "0.375 x mood minus + 0.125 x mood plus + 0 x style minus + 0.5 x style plus" in product._card((0.25, 1.0))


def test_with_all_weight_on_one_line_it_is_that_line_bit_for_bit(adapters):
    product = two_lines(adapters, weights=(1, 0))
    for alpha, end in zip((0, 1), adapters[1], strict=False):
        assert far(product.at((alpha, 7)), end.tensors) == 0


def test_a_line_may_stand_for_its_ends_and_brings_its_base(adapters):
    base, (sad, glad, plain, ornate) = adapters
    line = Line(sad, glad, base, device="cpu")
    product, same = (
        MultiLine({"mood": mood, "style": (plain, ornate)}, o, weights=(1, 1), device="cpu")
        for mood, o in ((line, None), ((sad, glad), base))
    )
    assert product.base is base and far(product.at((1, 0)), dict(same.at((1, 0)).named_parameters())) == 0


@pytest.mark.slow
def test_another_weight_is_another_identity(adapters):
    one, other = two_lines(adapters), two_lines(adapters, weights=(0.25, 0.75))
    assert one.identity() != other.identity()
    assert {k: v for k, v in one.identity().items() if k != "weights"} == {
        k: v for k, v in other.identity().items() if k != "weights"
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adapters", "gpt2_adapters"])
@pytest.mark.parametrize("weights", [None, (1.0, 1.0)])
def test_a_line_along_one_attribute_is_the_product_and_stays_low_rank(request, kind, weights):
    product = two_lines(request.getfixturevalue(kind), weights=weights)
    line = product.line((None, 0.75))
    adapted = [n for n, weight in product.checkpoints["mood minus"].weights.items() if isinstance(weight, LowRank)]
    assert adapted and all(isinstance(end.weights[n], LowRank) for end in (line.minus, line.plus) for n in adapted)
    base = product.base.tensors
    assert all(line.minus.weights[name].base.data_ptr() == base[name].data_ptr() for name in adapted)
    assert line.base is product.base and line.tokenizer is not None and product.here is None
    for alpha in (0.0, 0.5, 1.0, -1.0):
        assert far(line.at(alpha), dict(product.at((alpha, 0.75)).named_parameters())) < 1e-6
    other = product.line((0.25, None))
    assert far(other.at(1.5), dict(product.at((0.25, 1.5)).named_parameters())) < 1e-6


def test_rows_serve_such_a_line(adapters):
    line = two_lines(adapters, weights=(1, 1)).line((None, 0.5))
    rows, ids = BatchedLine(line), torch.tensor([[3, 14, 15, 9]])
    rows.alphas = (0.0, 0.5)
    with torch.inference_mode():
        found = rows.model(input_ids=ids.expand(2, -1)).logits[1]
        assert torch.allclose(found, line.at(0.5)(input_ids=ids).logits[0], atol=1e-4)


@pytest.mark.slow
def test_a_line_of_full_models_is_dense(tiny_llama_pair):
    ends = tiny_llama_pair.minus, tiny_llama_pair.plus
    product = MultiLine({"mood": ends, "style": ends}, device="cpu")
    line = product.line((None, 0.0))
    assert not any(isinstance(weight, LowRank) for weight in line.plus.weights.values())
    assert far(line.at(0.5), dict(product.at((0.5, 0.0)).named_parameters())) < 1e-6
    assert line.minus.tied and far(product.checkpoints["mood minus"].model, line.minus.tensors) < 1e-6


def test_a_checkpoint_is_not_changed_by_what_is_derived_from_it(adapters):
    base, (sad, *_) = adapters
    before = sad.sha256, base.sha256
    found = checkpoint_at(two_lines(adapters), (0.5, 0.5))
    del sad.__dict__["_sha256"], base.__dict__["_sha256"]  # to be computed again
    assert (sad.sha256, base.sha256) == before and found.sha256 != before[0]
    assert found.name == "0.25 x mood minus + 0.25 x mood plus + 0.25 x style minus + 0.25 x style plus"
    assert found.folder is None and found.base is base


def test_what_cannot_stay_low_rank_is_dense():
    base, up = torch.arange(4.0).reshape(2, 2), torch.ones(2, 1)
    low = LowRank(base, up, up.T, 2.0)
    assert combined([low, base], (1.0, 0.0)) is low
    assert combined([base, base], (0.25, 0.75)) is base
    assert torch.equal(combined([low, base], (1.0, 1.0)), 2 * base + 2)  # the base is counted twice
    assert torch.equal(combined([low, base.clone()], (0.5, 0.5)), base + 1)  # another tensor
    both = combined([low, LowRank(base, up, 2 * up.T, 1.0)], (0.5, 0.5))
    assert isinstance(both, LowRank) and both.up.shape == (2, 2) and torch.equal(both.tensor(), base + 2)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: p.at((0.5,)), "MultiLine.at(alphas): got 1 numbers, expected 2, in this order: mood, style."),
        (lambda p: p.at(0.5), "MultiLine.at(alphas): got 0.5, expected 2, in this order: mood, style."),
        (
            lambda p: p.at((0.5, float("inf"))),
            "MultiLine.at(alphas): inf is not a finite number. Pass one, such as 0.5.",
        ),
        (
            lambda p: p.line((0.5, 0.5)),
            "MultiLine.line(point): got (0.5, 0.5), expected an alpha for each of mood, style, and None for the one to "
            "move along.",
        ),
        (
            lambda p: MultiLine({}),
            'MultiLine(lines): no lines.\nPass a dict of them, such as {"mood": ("my/sad", "my/glad")}.',
        ),
        (
            lambda p: MultiLine({"mood": ("my/sad", "my/glad")}, weights=(2,)),
            "MultiLine(weights): 2 add up to 2, and no base takes the rest.\n"
            "Name the base, or give weights that add up to 1.",
        ),
        (
            lambda p: MultiLine({"mood": ("my/sad", "my/glad")}, weights=(0.5, 0.5)),
            "MultiLine(weights): got 2 numbers, expected 1, in this order: mood.",
        ),
    ],
)
def test_what_is_refused(adapters, make, said):
    with pytest.raises(AlphaError) as error:
        make(two_lines(adapters))
    assert str(error.value) == said
