"""Sampling: the right distribution, the same noise at every alpha, nothing padded, no matter the batch."""

import itertools

import pandas as pd
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM, AutoTokenizer

from lerpnb.errors import NotFiniteError, ProbeError
from lerpnb.generation.batched_line import BatchedLine, prefer_batched
from lerpnb.generation.continuations import Continuations
from lerpnb.generation.decoder import Decoder
from lerpnb.generation.noise import draw_tokens, gumbel, noise_key
from lerpnb.generation.sampling import sample, sample_batched
from lerpnb.paths.line import Line

PROMPTS = ("the film", "a warm and funny story about", "nobody", "it wants to be clever and ends up being merely long")


@pytest.fixture(autouse=True)
def one_thread():
    """Models so small wait longer for a second thread than it helps."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=["tiny_llama_pair", "tiny_gpt2_pair", "tiny_untied_pair"])
def model_and_words(request):
    folder = request.getfixturevalue(request.param)[1]
    return AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def test_tokens_follow_the_nucleus_distribution():
    p = torch.tensor([0.05, 0.4, 0.3, 0.2, 0.05])
    n = 20_000
    keys = torch.tensor([noise_key(3, "x", draw) for draw in range(n)])
    drawn = draw_tokens(p.log().expand(n, -1), keys, torch.zeros(n, dtype=torch.long), 0.85, 1.0)
    found = torch.bincount(drawn, minlength=5) / n
    want = torch.tensor([0.0, 0.4, 0.3, 0.2, 0.0]) / 0.9  # the likelier tokens before each one hold .0 .4 .7 .9
    assert torch.allclose(found, want, atol=0.015)


def test_temperature_sharpens_and_zero_takes_the_likeliest():
    logits = torch.tensor([[0.0, 1.0, 0.5]]).expand(20_000, -1)
    keys = torch.arange(20_000) * 7919
    steps = torch.zeros(20_000, dtype=torch.long)
    found = torch.bincount(draw_tokens(logits, keys, steps, 1.0, 0.5), minlength=3) / 20_000
    assert torch.allclose(found, torch.softmax(2 * logits[0], -1), atol=0.015)
    assert (draw_tokens(logits, keys, steps, 1.0, 0) == 1).all()


@pytest.mark.slow
def test_a_nucleus_wider_than_the_candidates_is_found_whole():
    logits = torch.zeros(4_000, 3_000)  # 256 candidates hold 9 % of a flat distribution
    drawn = draw_tokens(logits, torch.arange(4_000) * 7919, torch.zeros(4_000, dtype=torch.long), 0.9, 1.0)
    assert drawn.unique().numel() > 1_500


def test_noise_is_gumbel_and_depends_on_key_and_token_alone():
    keys = torch.arange(400) * 104_729
    tokens = torch.arange(1_000).expand(400, -1)
    g = gumbel(keys, tokens)
    assert g.mean().item() == pytest.approx(0.5772, abs=0.01)  # Euler's constant
    assert g.var().item() == pytest.approx(torch.pi**2 / 6, abs=0.02)
    assert abs(torch.corrcoef(g[:50]).fill_diagonal_(0)).max() < 0.15
    shuffled = tokens[:, torch.randperm(1_000)]
    assert torch.equal(gumbel(keys[7:8], shuffled[7:8]), g[7:8].gather(1, shuffled[7:8]))
    assert noise_key(0, "a", 0) != noise_key(1, "a", 0) != noise_key(1, "a", 1) != noise_key(1, "b", 1)


@pytest.mark.parametrize("narrow", [True, False])
def test_logits_that_are_not_finite_have_no_token(narrow):
    logits = torch.tensor([[0.0, torch.nan], [0.0, torch.inf], [0.0, -torch.inf], [1.0, 0.0]])
    for top_p, temperature in ((0.5, 1.0), (1.0, 1.0), (0.9, 0)):
        drawn = draw_tokens(logits, torch.arange(4), torch.arange(4), top_p, temperature, narrow)
        assert drawn[:3].tolist() == [-1, -1, 0] and drawn[3] >= 0


@pytest.mark.parametrize("at", [0, 3])
def test_a_model_whose_logits_are_not_finite_is_refused(tiny_llama_pair, at):
    model, words = (kind.from_pretrained(tiny_llama_pair[1]) for kind in (AutoModelForCausalLM, AutoTokenizer))
    for check_every in (1, 8):
        decoder = Decoder(model, words, Continuations(PROMPTS[:1], temperature=0), check_every=check_every)
        passes = itertools.count()

        def overflow(model, given, output, passes=passes):
            if next(passes) >= at:
                output.logits.fill_(torch.nan)

        hook = model.register_forward_hook(overflow)
        with pytest.raises(NotFiniteError) as error:
            list(decoder)
        hook.remove()
        assert str(error.value) == (
            "sample(): the model's logits hold NaN or infinity.\n"
            "The weights at this alpha cannot be used: narrow lo and hi, or take dtype='float32'."
        )


@pytest.mark.slow
def test_sorting_all_tokens_draws_what_looking_at_the_likeliest_does():
    for scale in (0.1, 3.0):  # nuclei of thousands of tokens, and of a few
        logits = scale * torch.randn(64, 6_000, generator=torch.Generator().manual_seed(0))
        for top_p in (0.3, 0.9, 1.0):
            given = logits, torch.arange(64) * 7919, torch.arange(64), top_p, 0.7
            assert torch.equal(draw_tokens(*given), draw_tokens(*given, narrow=False))


@pytest.mark.slow
def test_it_equals_a_plain_loop_without_cache_or_batch(model_and_words):
    model, words = model_and_words
    spec = Continuations(PROMPTS, n_samples=3, max_new_tokens=9, seed=5)
    found = sample(model, words, spec)
    assert len(found) == 12 and list(found["prompt_id"]) == [i for i in range(4) for _ in range(3)]
    for row in found.itertuples():
        ids = words(row.prompt)["input_ids"]
        key, new = torch.tensor([noise_key(5, row.prompt, row.draw)]), []
        while len(new) < 9:
            with torch.inference_mode():
                logits = model(input_ids=torch.tensor([ids + new])).logits[:, -1]
            token = draw_tokens(logits, key, torch.tensor([len(new)]), 0.9, 1.0).item()
            if token == words.eos_token_id:
                break
            new.append(token)
        text = words.decode(ids + new, skip_special_tokens=True)
        assert row.prompt + row.continuation == text and row.n_tokens == len(new)


@pytest.mark.slow
def test_texts_do_not_depend_on_the_batch_or_on_other_prompts(model_and_words):
    model, words = model_and_words
    spec = {"n_samples": 4, "max_new_tokens": 12, "seed": 1}
    whole = sample(model, words, Continuations(PROMPTS, **spec))
    narrow = sample(model, words, Continuations(PROMPTS, batch_size=4, **spec))
    assert whole.equals(narrow) and whole.equals(sample(model, words, Continuations(PROMPTS, **spec)))
    alone = sample(model, words, Continuations(PROMPTS[2:3], **spec))
    assert list(alone["continuation"]) == list(whole[whole["prompt_id"] == 2]["continuation"])


@pytest.mark.slow
def test_an_end_of_text_token_ends_a_text(model_and_words):
    model, words = model_and_words
    spec = Continuations(PROMPTS, n_samples=16, max_new_tokens=30)
    found = sample(model, words, spec)
    assert found["n_tokens"].min() < 30 and found["n_tokens"].max() == 30
    assert not found["continuation"].str.contains("<eos>").any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": ()}, "Continuations(prompts): got 0 prompts.\nIt takes one or more texts, none empty."),
        ({"prompts": (" ",)}, "Continuations(prompts): got 1 prompts.\nIt takes one or more texts, none empty."),
        (
            {"prompts": ("a", "a")},
            "Continuations(prompts): got 2 prompts.\nIt takes each prompt once; n_samples gives more of each.",
        ),
        ({"n_samples": 0}, "Continuations(n_samples): got 0.\nIt takes a whole number, 1 or more."),
        ({"max_new_tokens": 0}, "Continuations(max_new_tokens): got 0.\nIt takes a whole number, 1 or more."),
        ({"max_new_tokens": 2.5}, "Continuations(max_new_tokens): got 2.5.\nIt takes a whole number, 1 or more."),
        ({"n_samples": True}, "Continuations(n_samples): got True.\nIt takes a whole number, 1 or more."),
        ({"temperature": None}, "Continuations(temperature): got None.\nIt takes 0 or more."),
        ({"seed": 0.5}, "Continuations(seed): got 0.5.\nIt takes a whole number."),
        ({"top_p": 0}, "Continuations(top_p): got 0.\nIt takes more than 0 and at most 1."),
        ({"temperature": -1}, "Continuations(temperature): got -1.\nIt takes 0 or more."),
        ({"batch_size": 0}, "Continuations(batch_size): got 0.\nIt takes a whole number, 1 or more."),
    ],
)
def test_what_cannot_be_sampled_is_refused(change, message):
    with pytest.raises(ProbeError) as error:
        Continuations(**{"prompts": ("a",)} | change)
    assert str(error.value) == message


@pytest.mark.slow
def test_an_appended_end_of_text_is_taken_off_a_prompt(tiny_llama_pair):
    from tokenizers.processors import TemplateProcessing

    model, words = (kind.from_pretrained(tiny_llama_pair[1]) for kind in (AutoModelForCausalLM, AutoTokenizer))
    plain = sample(model, words, Continuations(PROMPTS, n_samples=2))
    words.backend_tokenizer.post_processor = TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    assert words("the film")["input_ids"][-1] == 1
    assert sample(model, words, Continuations(PROMPTS, n_samples=2)).equals(plain)


@pytest.mark.slow
def test_hybrid_caches_are_followed(tiny):
    """Layers with a state of their own beside layers with keys and values."""
    from transformers import Lfm2Config, Lfm2ForCausalLM

    config = Lfm2Config(
        vocab_size=100,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        layer_types=["conv", "full_attention", "conv"],
        max_position_embeddings=128,
        block_auto_adjust_ff_dim=False,
    )
    model, words = tiny.moved(Lfm2ForCausalLM(config), 3, 0.1).eval(), tiny.tokenizer()
    found = sample(model, words, Continuations(PROMPTS, n_samples=2, max_new_tokens=5))
    for row in found.itertuples():
        ids, new = words(row.prompt)["input_ids"], []
        key = torch.tensor([noise_key(0, row.prompt, row.draw)])
        for step in range(row.n_tokens):
            with torch.inference_mode():
                logits = model(input_ids=torch.tensor([ids + new]), use_cache=False).logits[:, -1]
            new.append(draw_tokens(logits, key, torch.tensor([step]), 0.9, 1.0).item())
        assert row.prompt + row.continuation == words.decode(ids + new, skip_special_tokens=True)


def test_what_does_not_fit_the_model_is_refused(tiny_llama_pair):
    model, words = (kind.from_pretrained(tiny_llama_pair[1]) for kind in (AutoModelForCausalLM, AutoTokenizer))
    with pytest.raises(ProbeError) as error:
        sample(model, words, Continuations(("the film",), max_new_tokens=200))
    assert str(error.value) == (
        f"sample(): {len(words('the film')['input_ids'])} tokens and 200 new ones, but the model has 128 positions.\n"
        "Shorten the prompt 'the film', or ask for fewer max_new_tokens."
    )
    with pytest.raises(ProbeError) as error:
        Continuations("the film")
    assert str(error.value) == "Continuations(prompts): got one text, 'the film'.\nIt takes a list of texts."


@pytest.fixture(params=["tiny_llama_pair", "tiny_gpt2_pair", "tiny_adapter_pair"])
def line(request):
    trio = request.getfixturevalue(request.param)
    return Line(trio.minus, trio.plus, trio.base, device="cpu")


@pytest.mark.slow
def test_all_alphas_at_once_write_what_each_alone_writes(line):
    """Prompts of one to five tokens, ends of text on the way, batches that part alphas: the same words."""
    alphas = [-0.5, 0.35, 1.0]
    batched = BatchedLine(line)
    for spec in (
        Continuations(PROMPTS, n_samples=3, max_new_tokens=9, seed=4),
        Continuations(PROMPTS, n_samples=2, max_new_tokens=20, batch_size=7),
        Continuations(PROMPTS[:1], n_samples=1, max_new_tokens=6, temperature=0),
    ):
        found = sample_batched(batched, line.tokenizer, alphas, spec)
        assert list(found) == alphas
        for alpha in alphas:
            pd.testing.assert_frame_equal(found[alpha], sample(line.at(alpha), line.tokenizer, spec))


def test_batches_are_bounded_and_each_prompt_is_read_once_an_alpha(tiny_llama_pair, monkeypatch):
    line = Line(tiny_llama_pair.minus, tiny_llama_pair.plus, device="cpu")
    batched, sizes = BatchedLine(line), []
    batched.model.register_forward_pre_hook(
        lambda model, args, given: sizes.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    spec = Continuations(("the film", "the film was"), n_samples=3, max_new_tokens=2, batch_size=12)
    sample_batched(batched, line.tokenizer, [0.0, 0.5, 1.0], spec)
    short = len(line.tokenizer("the film")["input_ids"])
    assert (4, short) in sizes and max(rows for rows, _ in sizes) <= 12
    assert sum(rows for rows, length in sizes if length > 1) == 6


@pytest.mark.slow
def test_writing_goes_a_token_a_step_and_two_take_turns(tiny_llama_pair):
    line = Line(tiny_llama_pair.minus, tiny_llama_pair.plus, device="cpu")
    batched, words = BatchedLine(line), line.tokenizer
    specs = [
        Continuations((prompt,), n_samples=1, max_new_tokens=6, seed=3) for prompt in ("the film", "nobody in this")
    ]
    alphas = ([0.0, 0.5, 1.0], [0.25, 0.75])
    alone = [sample_batched(batched, words, at, spec) for at, spec in zip(alphas, specs, strict=True)]
    first, second = (Decoder(batched, words, spec, at) for at, spec in zip(alphas, specs, strict=True))
    lengths = []
    for _ in zip(first, second, strict=False):  # a step of one, a step of the other
        assert not torch.is_inference_mode_enabled()  # nothing is held between steps
        lengths.append([len(ids) for ids in first.tokens.values()])
    assert lengths[0] == [1, 1, 1] and all(
        b - a <= 1 for x, y in zip(lengths, lengths[1:], strict=False) for a, b in zip(x, y, strict=True)
    )
    for decoder, found in zip((first, second), alone, strict=True):
        for alpha, texts in found.items():
            assert decoder.frame(alpha)["continuation"][0] == texts["continuation"][0]


@pytest.mark.slow
def test_an_alpha_that_cannot_be_used_is_left_out_and_the_others_go_on(tiny_llama_pair):
    line = Line(tiny_llama_pair.minus, tiny_llama_pair.plus, device="cpu")
    batched, spec = BatchedLine(line), Continuations(PROMPTS, n_samples=2, max_new_tokens=6)

    def overflow(model, given, output):
        output.logits.masked_fill_((batched.alphas > 9).view(-1, 1, 1), torch.nan)

    batched.model.register_forward_hook(overflow)
    found = sample_batched(batched, line.tokenizer, [0.0, 10.0, 1.0], spec)
    assert list(found) == [0.0, 1.0]
    for alpha in found:
        pd.testing.assert_frame_equal(found[alpha], sample(line.at(alpha), line.tokenizer, spec))


@pytest.mark.slow
def test_batching_is_chosen_by_texts_per_alpha_with_the_reason(tiny_llama_pair, tiny_adapter_pair):
    dense, low = (Line(*trio, device="cpu") for trio in (tiny_llama_pair[1:], tiny_adapter_pair[1:]))
    half = Line(*tiny_llama_pair[1:], device="cpu", dtype="bfloat16")
    texts = {n: Continuations([f"text {i}" for i in range(n)], n_samples=4) for n in (1, 4, 5, 16, 17)}
    rounding = "in which batched and single passes round to different texts."
    for line, n, alphas, batch, reason in (
        (dense, 4, 11, True, "all 11 alphas in one pass: 16 texts an alpha, of at most 16 with dense ends on cpu."),
        (dense, 5, 11, False, "20 texts an alpha; with dense ends on cpu, 16 at most share a pass."),
        (low, 16, 11, True, "all 11 alphas in one pass: 64 texts an alpha, of at most 64 with low-rank ends on cpu."),
        (low, 17, 11, False, "68 texts an alpha; with low-rank ends on cpu, 64 at most share a pass."),
        (dense, 1, 2, False, "2 with dense ends, nothing to share."),
        (low, 1, 1, False, "1 with low-rank ends, nothing to share."),
        (half, 1, 11, False, f"the line is computed in bfloat16, {rounding}"),
    ):
        assert prefer_batched(line, texts[n], alphas) == (batch, reason if batch else f"one alpha at a time: {reason}")


class Questions(TorchDispatchMode):
    """Counts what makes the host wait for a device: values that it reads, and shapes that depend on them."""

    ASKED = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "repeat_interleave.Tensor")

    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func).removeprefix("aten.")
        by = args[1] if name.startswith("index") and isinstance(args[1], list) else ()
        if name.startswith(self.ASKED) or any(at is not None and at.dtype == torch.bool for at in by):
            self.found.append(name)
        return func(*args, **kwargs or {})


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["tiny_llama_pair", "tiny_gpt2_pair"])
@pytest.mark.parametrize("batched", [False, True])
def test_the_device_is_asked_nothing_but_every_eight_steps_and_the_texts_are_the_same(
    request, monkeypatch, pair, batched
):
    trio = request.getfixturevalue(pair)
    line, alphas = Line(trio.minus, trio.plus, device="cpu"), (0.0, 0.35, 1.0) if batched else (None,)
    model = BatchedLine(line) if batched else line.at(0.35)
    spec = Continuations(PROMPTS, n_samples=3, max_new_tokens=30, seed=2)
    each_step = Decoder(model, line.tokenizer, spec, alphas)
    steps = sum(1 for _ in each_step)
    decoder, questions, read = Decoder(model, line.tokenizer, spec, alphas, check_every=8), Questions(), []
    tolist = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: read.append(tensor.shape) or tolist(tensor))
    with questions:
        assert sum(1 for _ in decoder) >= steps
    assert questions.found == [] and all(length <= 8 for _, length in read)
    assert steps / 8 <= len(read) <= steps / 3  # at the known ends of prompts of several lengths too
    assert decoder.tokens == each_step.tokens
    lengths = {len(tokens) for tokens in decoder.tokens.values()}
    assert min(lengths) < 30 and max(lengths) == 30  # some end by themselves
