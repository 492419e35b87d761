"""BatchedLine: every row equals the plain model at its alpha; what is not supported is known beforehand."""

import gc

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import LlamaForCausalLM

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.low_rank import LowRank
from lerpnb.errors import ProbeError
from lerpnb.generation.batched_line import BatchedLine, reads_per_pass, unsupported_reason
from lerpnb.generation.batched_weights import Batch, Matrix, UnsupportedOperation, Vector
from lerpnb.paths.line import Line

KINDS = "llama mistral qwen2 qwen3 gemma gemma2 gemma3_text gpt2 opt gpt_neox phi phi3 falcon".split()
ALPHAS = (-1.0, 0.0, 0.3, 0.5, 1.0, 2.0)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def line_of(tiny, base: nn.Module, **options) -> Line:
    ends = (Checkpoint.from_model(tiny.moved(base, seed), tiny.tokenizer()) for seed in (11, 12))
    return Line(*ends, **options)


@torch.inference_mode()
def plain_logits(line: Line, alpha: float, ids: torch.Tensor) -> torch.Tensor:
    """(1, tokens, vocabulary): the whole sequence in one uncached pass of the mixed live model."""
    return line.at(alpha)(input_ids=ids.unsqueeze(0), use_cache=False).logits


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_row_is_the_plain_model_at_its_alpha(tiny, kind):
    """A prefill and four cached steps, rows permuted after the first and dropped after the second."""
    line = line_of(tiny, tiny.network(kind))
    batched, ids = (
        BatchedLine(line),
        torch.randint(3, tiny.VOCABULARY, (6, 12), generator=torch.Generator().manual_seed(1)),
    )
    assert {weight.name for weight in batched.weights} == {name for name, _ in line.model.named_parameters()}
    places = torch.arange(6)
    batched.alphas = ALPHAS
    with torch.inference_mode():
        output = batched.model(input_ids=ids[:, :8], use_cache=True)
        got = [(places, 7, output.logits[:, -1])]
        for step, stay in enumerate(([5, 0, 3, 1, 4, 2], [1, 2, 4], [2, 0], [0, 1]), 8):
            output.past_key_values.reorder_cache(torch.tensor(stay))
            places, batched.alphas = places[stay], batched.alphas[stay]
            output = batched.model(
                input_ids=ids[places, step : step + 1], past_key_values=output.past_key_values, use_cache=True
            )
            got.append((places, step, output.logits[:, -1]))
    wanted = torch.cat([plain_logits(line, alpha, ids[r]) for r, alpha in enumerate(ALPHAS)])
    assert (wanted[0] - wanted[5]).abs().max() > 0.5  # the line leads somewhere
    for places, step, logits in got:
        assert (logits - wanted[places, step]).abs().max() <= 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["tiny_adapter_pair", "tiny_gpt2_adapter_pair"])
@pytest.mark.parametrize("ends", ["two adapters", "adapter and base"])
def test_low_rank_ends_read_their_base_once(request, pair, ends):
    trio = request.getfixturevalue(pair)
    base = Checkpoint.load(trio.base)
    line = Line(Checkpoint.load(trio.minus, base), Checkpoint.load(trio.plus, base) if ends == "two adapters" else base)
    batched, ids = BatchedLine(line), torch.arange(20).view(2, 10) + 7
    assert batched.weights and all(isinstance(weight, Matrix) and len(weight.bases) == 1 for weight in batched.weights)
    batched.alphas = torch.tensor([0.25, 1.5])
    with torch.inference_mode():
        got = batched.model(input_ids=ids, use_cache=False).logits
    wanted = torch.cat([plain_logits(line, alpha, ids[r]) for r, alpha in enumerate((0.25, 1.5))])
    assert (got - wanted).abs().max() <= 1e-4


@pytest.mark.slow
def test_adapters_on_embedding_and_head_are_low_rank_too(tiny, tmp_path):
    base = tiny.save(tiny.llama(tied=False), tmp_path / "base", tiny.tokenizer())
    settings = {"target_modules": ["embed_tokens", "lm_head", "o_proj"], "use_rslora": True}
    folders = [tiny.adapter(base, tmp_path / str(seed), seed, settings, False) for seed in (1, 2)]
    loaded = Checkpoint.load(base)
    line = Line(*(Checkpoint.load(folder, loaded) for folder in folders))
    batched, ids = BatchedLine(line), torch.arange(20).view(2, 10) + 7
    assert {weight.name.split(".")[-2] for weight in batched.weights} == {"embed_tokens", "lm_head", "o_proj"}
    batched.alphas = [-0.5, 0.7]
    with torch.inference_mode():
        got = batched.model(input_ids=ids, use_cache=False).logits
    wanted = torch.cat([plain_logits(line, alpha, ids[r]) for r, alpha in enumerate((-0.5, 0.7))])
    assert (got - wanted).abs().max() <= 1e-4


def batched_weight(kind: type, ends: list, alphas: list[float]):
    """A weight of made-up ends, in a batch with these alphas."""
    batch = Batch(torch.device("cpu"))
    weight = kind("w", ends, batch)
    batch.weights.append(weight)
    batch.alphas = alphas
    return weight


def test_values_in_closed_form():
    ends = [torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -2.0]])]
    w = batched_weight(Matrix, ends, [0.0, 0.25, 2.0])
    x = torch.tensor([[1.0, 1.0]]).expand(3, 2)
    assert F.linear(x, w).tolist() == [[3.0], [2.5], [-1.0]]  # 3, (3 * 3 + 1) / 4, 2 * 1 - 3
    assert F.linear(x, w, torch.tensor([1.0])).tolist() == [[4.0], [3.5], [0.0]]
    assert F.embedding(torch.zeros(3, 1, dtype=torch.long), w).tolist() == [[[1, 2]], [[1.5, 1]], [[5, -6]]]
    assert torch.matmul(torch.ones(3, 1), w).tolist() == [[1, 2], [1.5, 1], [5, -6]]
    assert (x @ w.T).tolist() == F.linear(x, w).tolist()
    assert torch.addmm(torch.ones(2), torch.ones(3, 1), w).tolist() == [[2, 3], [2.5, 2], [6, -5]]
    v = batched_weight(Vector, [torch.tensor([1.0, 2.0]), torch.tensor([3.0, -2.0])], [0.0, 0.25, 2.0])
    assert (torch.full((3, 1, 2), 2.0) * v).tolist() == [[[2, 4]], [[3, 2]], [[10, -12]]]
    assert ((1.0 + v.float()) * torch.ones(3, 2)).tolist() == [[2, 3], [2.5, 2], [6, -5]]
    assert (torch.ones(3, 2) - v).tolist() == (1 - v).values.tolist() == [[0, -1], [-0.5, 0], [-4, 7]]
    assert F.layer_norm(torch.tensor([[-1.0, 1.0]] * 3), (2,), v, v, 0.0).tolist() == [[0, 4], [0, 2], [0, -12]]


def test_a_low_rank_weight_in_closed_form():
    base, one = torch.zeros(1, 2), torch.ones(1, 1)
    low = LowRank(base, one, torch.tensor([[1.0, 2.0]]), 3.0)  # (3, 6)
    turned = LowRank(base, torch.tensor([[4.0], [0.0]]), one, 0.5, transposed=True)  # (2, 0)
    w = batched_weight(Matrix, [low, turned], [0.0, 1.0, 0.5])
    assert len(w.bases) == 1
    x = torch.eye(2)[[0, 0, 0]]
    assert F.linear(x, w).tolist() == (x @ w.T).tolist() == [[3.0], [2.0], [2.5]]
    assert F.embedding(torch.zeros(3, dtype=torch.long), w).tolist() == [[3, 6], [2, 0], [2.5, 3]]
    w = batched_weight(Matrix, [low, torch.tensor([[7.0, 7.0]])], [0.0, 1.0, 0.5])
    assert len(w.bases) == 2
    assert F.linear(x, w).tolist() == [[3.0], [7.0], [5.0]]


def test_flattened_rows_and_positions_for_all():
    w = batched_weight(Matrix, [torch.tensor([[1.0]]), torch.tensor([[3.0]])], [0.0, 0.5])
    assert F.linear(torch.ones(6, 1), w).flatten().tolist() == [1, 1, 1, 2, 2, 2]  # three tokens of either row
    assert F.linear(torch.ones(1, 3, 1), w).tolist() == [[[1]] * 3, [[2]] * 3]  # one leading entry serves both
    with pytest.raises(UnsupportedOperation) as error:
        F.linear(torch.ones(5, 1), w)
    assert str(error.value) == "(5, 1) does not begin with a multiple of 2 rows."


def test_alphas_are_one_number_a_row(tiny):
    batched = BatchedLine(line_of(tiny, tiny.llama()))
    for given in ([[0.0, 1.0]], []):
        with pytest.raises(ProbeError) as error:
            batched.alphas = given
        shape = tuple(torch.tensor(given).shape)
        assert str(error.value) == f"BatchedLine(alphas): got shape {shape}.\nIt takes one number a row."


def test_it_holds_no_weights_and_changes_none(tiny):
    line = line_of(tiny, tiny.llama())
    batched = BatchedLine(line)
    before = {name: tensor.clone() for end in (line.minus, line.plus) for name, tensor in end.weights.items()}
    tied = batched.model.get_input_embeddings().weight
    assert batched.model.get_output_embeddings().weight is tied and isinstance(tied, Matrix)
    assert [t.data_ptr() for t in tied.bases] == [end.weights[tied.name].data_ptr() for end in (line.minus, line.plus)]
    assert not any(isinstance(parameter, torch.Tensor) for parameter in batched.model.parameters())
    batched.alphas = [0.2, 0.8]
    with torch.inference_mode():
        batched.model(torch.ones(2, 5, dtype=torch.long))
    after = {name: tensor for end in (line.minus, line.plus) for name, tensor in end.weights.items()}
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
def test_what_the_ends_share_is_a_plain_parameter(tiny_adapter_pair):
    line = Line(*tiny_adapter_pair[1:], base=tiny_adapter_pair.base)
    batched = BatchedLine(line)
    norm, base = batched.model.model.norm.weight, line.base.weights["model.norm.weight"]
    assert type(norm) is nn.Parameter and norm.data_ptr() == base.data_ptr()


def test_equal_tensors_are_read_once_though_each_end_has_its_own(tiny):
    base = tiny.llama()
    ends = [tiny.moved(base, 0, 0.0) for _ in range(2)]
    with torch.no_grad():
        ends[1].model.norm.weight += 1
    line = Line(*(Checkpoint.from_model(end, tiny.tokenizer()) for end in ends))
    assert [weight.name for weight in BatchedLine(line).weights] == ["model.norm.weight"]


class Scaled(LlamaForCausalLM):
    """A Llama with one weight more, used in whatever way `how` says."""

    how = staticmethod(lambda logits, scale: logits * scale)

    def __init__(self, config):
        super().__init__(config)
        self.scale = nn.Parameter(torch.ones(config.vocab_size))

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.logits = self.how(output.logits, self.scale)
        return output


def scaled(tiny, how) -> Line:
    kind = type("Scaled", (Scaled,), {"how": staticmethod(how)})
    config = tiny.llama().config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        base = kind(config)
    return line_of(tiny, base)


def test_a_weight_of_ones_own_is_mixed(tiny):
    assert unsupported_reason(scaled(tiny, lambda logits, scale: logits * scale)) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (lambda x, w: x * torch.cumsum(w, 0), "\n  scale: cumsum() cannot be computed with an alpha per row."),
        (lambda x, w: x * w.data, "\n  scale: its .data is not available with an alpha per row."),
        (lambda x, w: x * w if isinstance(w, torch.Tensor) else x, " has weights that it was not seen to use: scale."),
    ],
)
def test_a_model_that_is_not_supported_is_refused_beforehand(tiny, how, reason):
    line = scaled(tiny, how)
    reason = (
        f"Scaled cannot be computed with an alpha per row.{reason}" if reason.startswith("\n") else f"Scaled{reason}"
    )
    assert unsupported_reason(line) == reason
    with pytest.raises(ProbeError) as error:
        BatchedLine(line)
    assert str(error.value) == f"BatchedLine(line): {reason}\nline.at(alpha) serves every model, one alpha at a time."


@pytest.mark.slow
@pytest.mark.parametrize("size", [1.0, 1e-3])
def test_a_weight_bypassed_silently_is_found_however_small_the_deltas(tiny, size):
    """It is asked for, so that it counts as used, and then something else is done."""

    def how(x, w):
        return x * w if isinstance(w, torch.Tensor) else x + 0 * (x * w)

    config, ends = tiny.llama().config, []
    for seed in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            base = type("Scaled", (Scaled,), {"how": staticmethod(how)})(config)
        ends.append(Checkpoint.from_model(tiny.moved(base, seed, 0.05 * size), tiny.tokenizer()))
    reason = unsupported_reason(Line(*ends))
    assert reason.startswith("Scaled with an alpha per row is ") and reason.endswith(" apart at two alphas.")


def test_a_line_that_is_spread_or_streams_is_mixed(tiny):
    spread = line_of(tiny, tiny.llama(), device_map={"": "cpu"})
    assert unsupported_reason(spread) == "its live model is spread by a device_map."
    line = line_of(tiny, tiny.llama())
    line.at(0)
    line.minus.weights = {name: weight.to("meta") for name, weight in line.minus.weights.items()}
    assert unsupported_reason(line) == "its ends lie on meta, and the live model on cpu: each pass would move them."


@pytest.mark.slow
def test_how_often_weights_are_read(tiny, tiny_adapter_pair):
    assert reads_per_pass(line_of(tiny, tiny.llama())) == 2
    assert reads_per_pass(Line(*tiny_adapter_pair[1:])) == 1


def test_half_precision_lines_are_mixed(tiny):
    line = line_of(tiny, tiny.llama(), dtype="bfloat16")
    assert unsupported_reason(line) == (
        "the line is computed in bfloat16, in which batched and single passes round to different texts."
    )


@pytest.mark.slow
def test_the_check_is_made_once_and_holds_no_line(tiny, monkeypatch):
    from lerpnb.generation import batched_line as room

    line, asked = line_of(tiny, tiny.llama()), []
    real = room._check
    monkeypatch.setattr(room, "_check", lambda line: asked.append(line) or real(line))
    assert [unsupported_reason(line) for _ in range(3)] == [None] * 3 and len(asked) == 1
    known = len(room._checked)
    asked.clear()
    del line
    gc.collect()
    assert len(room._checked) < known


def bfloat16_ends(tiny, share: float) -> tuple[Line, nn.Module, nn.Module]:
    """A line whose ends hold bfloat16 numbers, each moved by `share` of every tensor's spread; the ends in float64."""
    base, ends = tiny.llama(), []
    for seed in (1, 2):
        end, generator = tiny.moved(base, 0, 0.0), torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for p in end.parameters():
                p += share * p.std() * torch.randn(p.shape, generator=generator)
                p.copy_(p.bfloat16())
        ends.append(end)
    line = Line(*(Checkpoint.from_model(end, tiny.tokenizer()) for end in ends))
    return line, *(end.double() for end in ends)


@pytest.mark.slow
def test_the_delta_of_bfloat16_ends_survives_float32_activations_and_not_bfloat16_ones(tiny):
    line, minus, plus = bfloat16_ends(tiny, 0.002)
    alphas, ids = torch.tensor([0.25, 0.5, 0.75]), torch.arange(24).view(3, 8) + 5
    exact, rounded = [], []
    with torch.inference_mode():
        for r, alpha in enumerate(alphas.tolist()):
            at = tiny.moved(minus, 0, 0.0)
            for p, a, b in zip(at.parameters(), minus.parameters(), plus.parameters(), strict=True):
                p.copy_((1 - alpha) * a + alpha * b)
            exact.append(at(ids[r : r + 1]).logits)
            for p in at.parameters():
                p.copy_(p.bfloat16())
            rounded.append(at(ids[r : r + 1]).logits)
        exact, rounded = torch.cat(exact), torch.cat(rounded)
        for end in (line.minus, line.plus):  # kept as they are stored: half the memory
            end.weights = {name: t.bfloat16() if t.dim() else t for name, t in end.weights.items()}
        found = {}
        for dtype in (torch.float32, torch.bfloat16):
            batched = BatchedLine(line, dtype=dtype, check=False)
            batched.alphas = alphas
            found[dtype] = (batched.model(ids).logits.double() - exact).square().mean().sqrt()
    of_theta = (rounded - exact).square().mean().sqrt()
    assert found[torch.float32] <= of_theta / 5
    assert found[torch.bfloat16] > of_theta / 2  # nothing is gained
