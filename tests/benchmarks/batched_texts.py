"""Texts at 11 alphas: all rows in one pass, against mixing and generating a point; where that turns; memory; bfloat16.

    python tests/benchmarks/batched_texts.py [--tiny]

1 prompt x 11 alphas x 32 new tokens, the likeliest token each (so that transformers' `generate` writes the same words,
which is checked first), for low-rank ends and for dense ones. Wanted: rows at least 2x faster than mix + generate; at
one alpha, nucleus sampling of 8 prompts x 4 draws at least as many tokens a second as `generate` with the same; at
most 2.2x the weights' bytes beside the live model; with ends in bfloat16 at most a fifth of the error of theta(alpha)
in bfloat16. The table of rows an alpha is where `batched_line.MAX_TEXTS_PER_ALPHA` comes from.
"""

import copy
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import common
import torch

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.low_rank import LowRank
from lerpnb.generation.batched_line import BatchedLine
from lerpnb.generation.continuations import Continuations
from lerpnb.generation.sampling import sample, sample_batched
from lerpnb.paths.line import Line

ALPHAS = [i / 10 for i in range(11)]
PROMPTS = (
    "The film was",
    "It is",
    "Nobody in this film",
    "I had",
    "What a",
    "My aunt said that it",
    "We saw",
    "The end",
)
TOKENS = 32


def lines(tiny: bool) -> dict[str, Line]:
    """The same line twice: with its adapters' low-rank ends, and with them merged, nothing shared."""
    if tiny:
        import tempfile

        import tiny_models as makers

        with tempfile.TemporaryDirectory() as to:
            trio = makers.adapter_trio(makers.llama(), Path(to))
            low = Line(trio.minus, trio.plus, trio.base, device="cpu")
    else:
        low = Line("data/adapters/negative", "data/adapters/positive", device="cpu")
    dense = Line(
        *(Checkpoint.from_model(end.new_model(), low.tokenizer) for end in (low.minus, low.plus)), device="cpu"
    )
    for line in (low, dense):  # no text ends early, so that all ways write as many tokens
        line.tokenizer = copy.deepcopy(line.tokenizer)
        line.tokenizer.eos_token = None
        line.model.generation_config.eos_token_id = None
    return {"low-rank ends": low, "dense ends": dense}


def ways_of(of_kind: dict[str, Line], tokens: int) -> dict[str, Callable[[], list[str]]]:
    """{way: a function that returns the text at each alpha}; the first mixes the dense ends, which is the quicker."""
    spec, line = (
        Continuations(["The film was"], n_samples=1, max_new_tokens=tokens, temperature=0),
        of_kind["dense ends"],
    )
    words = line.tokenizer
    ids = torch.tensor([words(spec.prompts[0])["input_ids"]])

    def by_rows(rows: BatchedLine) -> list[str]:
        return [found["continuation"][0] for found in sample_batched(rows, words, ALPHAS, spec).values()]

    def by_generate() -> list[str]:
        told = {"max_new_tokens": tokens, "do_sample": False, "pad_token_id": 0}
        found = [line.at(alpha).generate(ids, attention_mask=torch.ones_like(ids), **told)[0] for alpha in ALPHAS]
        before = words.decode(ids[0], skip_special_tokens=True)
        return [words.decode(text, skip_special_tokens=True).removeprefix(before) for text in found]

    rows = {f"rows, {kind}": partial(by_rows, BatchedLine(line)) for kind, line in of_kind.items()}
    return {"mix + generate a point": by_generate, **rows}


def speed(of_kind: dict[str, Line], tokens: int) -> dict:
    first: list[str] = []

    def differing(way: str, texts: list[str]) -> float:
        """The share of texts that are not those of the first way; one may part at a tie of two tokens."""
        first.extend(texts if not first else [])
        return sum(a != b for a, b in zip(texts, first, strict=True)) / len(texts)

    about = f"1 prompt x {len(ALPHAS)} alphas x {tokens} tokens"
    ways, warm = ways_of(of_kind, tokens), ways_of(of_kind, 2)
    result = common.compare(about, ways, 2, differing, tolerance=0.1, warm=warm)
    common.show(result)
    return result


def one_alpha(line: Line, tokens: int, repeats: int) -> dict:
    """Nucleus sampling at one alpha, against `generate` with the same sampling, batch and number of tokens."""
    n_draws = 4
    spec = Continuations(PROMPTS, n_samples=n_draws, max_new_tokens=tokens)
    model, words = line.at(0.5), copy.deepcopy(line.tokenizer)
    words.padding_side, words.pad_token = "left", words.pad_token or words.convert_ids_to_tokens(0)
    given = words(list(PROMPTS), return_tensors="pt", padding=True)
    given = {name: given[name].to(model.device) for name in ("input_ids", "attention_mask")}
    settings = {"do_sample": True, "top_p": spec.top_p, "top_k": 0, "temperature": spec.temperature}
    told = settings | {"max_new_tokens": tokens, "num_return_sequences": n_draws, "pad_token_id": 0}
    n_tokens = len(PROMPTS) * n_draws * tokens

    def lerpnb() -> int:
        return int(sample(model, line.tokenizer, spec)["n_tokens"].sum())

    def generate() -> int:
        return model.generate(**given, **told)[:, given["input_ids"].shape[1] :].numel()

    def missing(way: str, found: int) -> float:
        return abs(found - n_tokens) / n_tokens

    about = f"{len(PROMPTS)} prompts x {n_draws} draws x {tokens} tokens at one alpha"
    result = common.compare(about, {"generate": generate, "lerpnb": lerpnb}, repeats, missing)
    common.show(result)
    for way in result["ways"].values():
        way["tokens a second"] = n_tokens / way["seconds"]
    speeds = ", ".join(f"{name} {way['tokens a second']:.0f}" for name, way in result["ways"].items())
    print(f"  tokens a second: {speeds}; {1 / result['ways']['lerpnb']['ratio']:.2f}x generate's (wanted: 1.0x)")
    return result


def step_seconds(model: torch.nn.Module, count: int, rows: BatchedLine | None, repeats: int) -> float:
    """A decoding step of `count` rows after 4 tokens: the quickest of a few."""
    vocabulary = model.config.vocab_size
    ids = (torch.arange(count * 4).view(count, 4) * 7919) % vocabulary
    if rows:
        rows.alphas = torch.linspace(0, 1, count)
    with torch.inference_mode():
        cache = model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
        times = []
        for i in range(repeats + 1):
            start = time.perf_counter()
            model(input_ids=ids[:, i : i + 1], past_key_values=cache, use_cache=True)
            times.append(time.perf_counter() - start)
    return min(times[1:])


def crossover(of_kind: dict[str, Line], counts: tuple[int, ...], repeats: int) -> list[dict]:
    """Seconds a decoding step takes for all alphas, by the rows an alpha: both ways, for both kinds of ends."""
    print(
        f"\na step of {len(ALPHAS)} alphas by rows an alpha, in batches of at most 128 rows; above 1, rows are faster"
    )
    told = " ".join(f"{kind:>16}" for kind in of_kind)
    print(f"  {'rows':>6} {'mixing':>12} {told}")
    every = {kind: BatchedLine(line) for kind, line in of_kind.items()}
    known: dict[tuple, float] = {}

    def seconds(kind: str, model: torch.nn.Module, count: int, rows: BatchedLine | None) -> float:
        if (kind, count) not in known:
            known[kind, count] = step_seconds(model, count, rows, repeats)
        return known[kind, count]

    def put(line: Line) -> float:
        start = time.perf_counter()
        line.at(0.3), line.at(0.7)
        return (time.perf_counter() - start) / 2

    puts = {kind: put(line) for kind, line in of_kind.items()}
    found = []
    for count in counts:
        batch = max(1, 128 // count) * count  # rows of whole alphas side by side
        together = min(len(ALPHAS) * count, batch)
        row: dict[str, Any] = {"rows an alpha": count}
        for kind, line in of_kind.items():
            point = seconds("mixing", line.model, count, None) + puts[kind] / TOKENS
            side_by_side = seconds(kind, every[kind].model, together, every[kind]) * len(ALPHAS) * count / together
            row[kind] = {
                "mixing": len(ALPHAS) * point,
                "rows": side_by_side,
                "ratio": len(ALPHAS) * point / side_by_side,
            }
        found.append(row)
        ratios = " ".join(f"{row[kind]['ratio']:15.2f}x" for kind in of_kind)
        print(f"  {count:6} {1e3 * row['dense ends']['mixing']:9.0f} ms {ratios}", flush=True)
    return found


def storages(*things: Any) -> int:
    """Bytes of the distinct storages behind models and checkpoints."""
    tensors: list[torch.Tensor] = []
    for thing in things:
        if isinstance(thing, Checkpoint):
            held = [
                part
                for w in thing.weights.values()
                for part in ([w.base, w.up, w.down] if isinstance(w, LowRank) else [w])
            ]
            tensors += held
        elif isinstance(thing, BatchedLine):
            tensors += [
                factor
                for w in thing.weights
                for factor in (w.__dict__.get("left"), w.__dict__.get("right"))
                if factor is not None
            ]
        else:
            tensors += [*thing.parameters(), *thing.buffers()]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def memory(of_kind: dict[str, Line], tokens: int) -> dict:
    """What rows take beside the live model, in its bytes: the ends, their own, and the peak's growth in a pass."""
    status = Path("/proc/self/status")
    if not status.exists():
        print("\nmemory: not measured, it needs /proc.")
        return {}

    def resident(field: str) -> int:
        return 1024 * int(status.read_text().split(field + ":")[1].split()[0])

    found = {}
    print("\nmemory beside the live model, in its bytes (limit 2.2x)")
    for kind, line in of_kind.items():
        rows, live = BatchedLine(line), storages(line.model)
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before = resident("VmRSS")
        sample_batched(
            rows, line.tokenizer, ALPHAS, Continuations(["The film was"], n_samples=1, max_new_tokens=tokens)
        )
        grown = resident("VmHWM") - before
        ends = storages(line.minus, line.plus, rows)
        found[kind] = {"live": live, "ends and rows": ends, "grown": grown, "ratio": (ends + grown) / live}
        print(
            f"  {kind:16}{found[kind]['ratio']:6.2f}x  (ends and rows {ends / live:.2f}x, a pass {grown / live:.2f}x)"
        )
    return found


@torch.inference_mode()
def bfloat16(line: Line) -> dict:
    """Error of the logits against float64; the ends hold bfloat16 numbers and are 0.2 % of the spread apart."""
    generator, base = torch.Generator().manual_seed(0), line.minus.new_model()
    ends = []
    for _ in range(2):
        end = copy.deepcopy(base)
        for p in end.parameters():
            p.copy_((p + 0.002 * p.std() * torch.randn(p.shape, generator=generator)).bfloat16())
        ends.append(end)
    of_ends = Line(*(Checkpoint.from_model(end, line.tokenizer) for end in ends), device="cpu")
    alphas, ids = [0.25, 0.5, 0.75], torch.tensor([line.tokenizer("The film was long and")["input_ids"]])
    theta = base.double()  # in place
    logits: dict[str, list[torch.Tensor]] = {"float64": [], "theta(alpha) in bfloat16": []}
    for alpha in alphas:
        for p, a, b in zip(theta.parameters(), ends[0].parameters(), ends[1].parameters(), strict=True):
            p.copy_((1 - alpha) * a.double() + alpha * b.double())
        logits["float64"].append(theta(ids).logits)
        for p in theta.parameters():
            p.copy_(p.bfloat16())
        logits["theta(alpha) in bfloat16"].append(theta(ids).logits)
    found = {name: torch.cat(parts) for name, parts in logits.items()}
    for name, dtype in (("rows, float32 activations", torch.float32), ("rows, bfloat16 activations", torch.bfloat16)):
        rows = BatchedLine(of_ends, dtype=dtype, check=False)
        rows.alphas = alphas
        found[name] = rows.model(ids.expand(3, -1)).logits.double()
    true = found.pop("float64")
    errors = {name: (value - true).square().mean().sqrt().item() for name, value in found.items()}
    yardstick = errors["theta(alpha) in bfloat16"]
    print("\nroot mean square error of the logits against float64; ends of bfloat16 numbers (wanted: a fifth at most)")
    for name, error in errors.items():
        print(f"  {name:32}{error:10.2e} {error / yardstick:8.3f}x")
    return errors


def main() -> None:
    tiny = common.arguments(__doc__).tiny
    sys.stdout.reconfigure(line_buffering=True)  # what was measured is seen though the rest be stopped
    tokens, of_kind = (4, lines(True)) if tiny else (TOKENS, lines(False))
    result = {
        "speed": speed(of_kind, tokens),
        "one alpha": one_alpha(of_kind["dense ends"], tokens, 1 if tiny else 7),
        "crossover": crossover(of_kind, (1, 2) if tiny else (8, 32, 64), 1 if tiny else 2),
        "memory": memory(of_kind, tokens),
        "bfloat16": bfloat16(of_kind["dense ends"]),
    }
    if not tiny:
        print(common.save("batched_texts", result))


if __name__ == "__main__":
    main()
