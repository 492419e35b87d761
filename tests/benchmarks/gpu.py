"""All figures that need a GPU, from random weights of GPT-2 large's shape (774M) and Llama's at 8B, made on the device.

    python tests/benchmarks/gpu.py [--model NAME] [--device cuda] [--tiny]

Mixing against copy_ (wanted: 1.5x for dense ends, 4x for low-rank ones); 8 prompts x 21 alphas x 32 tokens, rows
against mixing and `generate` a point (wanted: 5x); a loss walk against its bare forward passes (wanted: 1.05x); the
ends in the host's memory, streamed into the live model. With `--model`, the demo line too. Then a bfloat16 pair of 8B:
bytes held a parameter (wanted: 6.2), a point (2x), nucleus sampling against `generate` (1.0x its tokens a second), what
each dtype keeps of the delta, and 11 alphas end to end, the loss of 32 texts and 100 new texts each. What it needs is
planned at 8 minutes and 70 GB.
Where there is no GPU it says so and prints no figure. `--device cpu --tiny` only shows that the program runs.
"""

import argparse
import copy
import gc
import time
from collections.abc import Callable
from typing import Any

import common
import torch
from batched_texts import one_alpha
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.low_rank import LowRank
from lerpnb.checkpoints.memory import shared_copy
from lerpnb.generation.batched_line import BatchedLine, prefer_batched
from lerpnb.generation.continuations import Continuations
from lerpnb.generation.sampling import sample, sample_batched
from lerpnb.paths.line import Line

ALPHAS = [i / 10 for i in range(-5, 16)]
PROMPTS = [f"{start} was" for start in "It He She They This That There What".split()]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a base for the demo's adapters: smollm2-135m-instruct, or its folder")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--tiny", action="store_true", help="a tiny model and one round; nothing is saved")
    return parser.parse_args()


def gpt2_large(tiny: bool, device: str, seed: int) -> torch.nn.Module:
    """A random GPT-2 of 774M parameters, frozen, made where it stays."""
    size = {"n_layer": 2, "n_embd": 64, "n_head": 4, "vocab_size": 600} if tiny else {}
    large = {"n_layer": 36, "n_embd": 1280, "n_head": 20} | size
    config = GPT2Config(**large, bos_token_id=0, eos_token_id=None)
    torch.manual_seed(seed)
    with torch.device(device):
        model = GPT2LMHeadModel(config).eval().requires_grad_(False)
        for p in model.parameters():
            p.add_(0.01 * torch.randn_like(p))
    return model


def dense_ends(tiny: bool, device: str, words: Any) -> tuple[Checkpoint, Checkpoint]:
    return tuple(Checkpoint.from_model(gpt2_large(tiny, device, seed), words) for seed in (1, 2))


def low_rank_ends(base: Checkpoint, words: Any) -> tuple[Checkpoint, Checkpoint]:
    """Two random adapters of rank 8 on every matrix of every layer of one base."""
    ends = []
    for _ in range(2):
        low = {}
        for name, weight in base.weights.items():
            if ".h." in name and weight.dim() == 2:
                up, down = (0.03 * torch.randn(n, 8, device=weight.device) for n in weight.T.shape)
                low[name] = LowRank(weight, up, down.T.contiguous(), 2.0, transposed=True)
        ends.append(Checkpoint(base.metadata, shared_copy(base.model), words, base, low))
    return tuple(ends)


def mixing(kind: str, line: Line, repeats: int) -> dict:
    """theta(alpha) into the live model, against a copy of as many bytes."""
    source, live = line.minus.new_model(), dict(line.model.named_parameters())
    pairs = [(live[name].data, parameter.data) for name, parameter in source.named_parameters()]

    def copy() -> None:
        torch._foreach_copy_([to for to, _ in pairs], [of for _, of in pairs])

    result = common.compare(f"mixing, {kind}", {"copy_": copy, "lerpnb": lambda: line.at(0.3)}, repeats)
    common.show(result)
    return result


def texts(kind: str, line: Line, tokens: int, repeats: int) -> dict:
    """All prompts at all alphas: rows against mixing and `generate` a point, the likeliest tokens, checked to agree."""
    words, alphas = line.tokenizer, ALPHAS if repeats > 1 else ALPHAS[::10]
    spec, rows = (
        Continuations(PROMPTS, n_samples=1, max_new_tokens=tokens, temperature=0, batch_size=168),
        BatchedLine(line),
    )
    encoded = [words(prompt)["input_ids"] for prompt in PROMPTS]
    length = max(map(len, encoded))
    pad = [[0] * (length - len(ids)) + ids for ids in encoded]  # on the left, as generate wants it
    ids = torch.tensor(pad, device=line.device)
    mask = torch.tensor([[int(i >= length - len(e)) for i in range(length)] for e in encoded], device=line.device)

    def by_rows() -> list[list[int]]:
        found = sample_batched(rows, words, alphas, spec)
        return [text for alpha in alphas for text in found[alpha]["continuation"]]

    def by_generate() -> list[str]:
        told = {"max_new_tokens": tokens, "do_sample": False, "pad_token_id": 0, "attention_mask": mask}
        found = []
        for alpha in alphas:
            new = line.at(alpha).generate(ids, **told)[:, length:]
            for prompt, text in zip(encoded, new.tolist(), strict=True):
                before = words.decode(prompt, skip_special_tokens=True)
                found.append(words.decode(prompt + text, skip_special_tokens=True).removeprefix(before))
        return found

    true = by_generate()
    result = common.compare(
        f"{len(PROMPTS)} prompts x {len(alphas)} alphas x {tokens} tokens, {kind}",
        {"rows": by_rows, "mix + generate a point": by_generate},
        repeats,
        lambda way, found: sum(a != b for a, b in zip(found, true, strict=True)) / len(true),
        tolerance=0.1,  # random weights have near ties, and padding rounds otherwise than none
    )
    common.show(result)
    print(f"  lerpnb's own choice: {prefer_batched(line, spec, len(alphas))[1]}")
    return result


def walking(line: Line, tiny: bool, repeats: int) -> dict:
    """A loss walk of 11 alphas over 32 texts, against one model's passes over the same texts as often."""
    from lerpnb.evaluation.loop import evaluate

    probe, alphas = losses_of(8 if tiny else 32), [i / 10 for i in range(11)]

    def walked() -> Any:
        return evaluate(line, alphas, [probe], store=False, check=False)

    def bare() -> None:
        for _ in alphas:
            probe.measure(line.model, line.tokenizer)

    result = common.compare("a loss walk of 11 alphas", {"the passes alone": bare, "walk": walked}, repeats)
    common.show(result)
    return result


def streaming(tiny: bool, device: str, words: Any, repeats: int) -> dict:
    """The ends in the host's memory: a point streams into the live model, against a plain transfer of as many bytes."""
    ends = dense_ends(tiny, "cpu", words)
    line = Line(*ends, device=device, ends_device="cpu")
    live = dict(line.model.named_parameters())
    sources = {n: p.data.pin_memory() if device == "cuda" else p.data for n, p in ends[0].model.named_parameters()}
    pinned = [(live[name].data, source) for name, source in sources.items()]

    def transfer() -> None:
        for to, of in pinned:
            to.copy_(of, non_blocking=True)

    ways = {"a transfer from pinned memory": transfer, "lerpnb": lambda: line.at(0.3)}
    result = common.compare("ends in the host's memory", ways, repeats)
    common.show(result)
    return result


def llama_pair(tiny: bool, device: str, words: Any) -> tuple[Checkpoint, Checkpoint]:
    """Two random Llamas of 8.0B parameters in bfloat16, the second near the first."""
    size = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128, "vocab_size": 600} if tiny else {}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2} if tiny else {}
    large = {"num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336, "vocab_size": 128_256}
    large |= {"num_attention_heads": 32, "num_key_value_heads": 8} | size | heads
    config = LlamaConfig(**large, bos_token_id=0, eos_token_id=None, pad_token_id=None, tie_word_embeddings=False)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)  # float32 would take twice the room at first
    torch.manual_seed(0)
    with torch.device(device):
        minus = LlamaForCausalLM(config).eval().requires_grad_(False)
    torch.set_default_dtype(before)
    plus = copy.deepcopy(minus)
    for parameter in plus.parameters():
        parameter.add_(0.002 * torch.randn_like(parameter))
    return tuple(Checkpoint.from_model(model, words) for model in (minus, plus))


def eight_billion(tiny: bool, device: str, words: Any, repeats: int, tokens: int) -> dict:
    """A bfloat16 pair, computed in bfloat16: memory, a point, tokens a second, resolutions, and a walk end to end."""
    allocated = torch.cuda.memory_allocated() if device == "cuda" else 0
    line = Line(*llama_pair(tiny, device, words), device=device, dtype="bfloat16")
    line.at(0.3)
    n = sum(parameter.numel() for parameter in line.model.parameters())
    found: dict[str, Any] = {"parameters": n}
    if device == "cuda":
        found["held"] = (torch.cuda.memory_allocated() - allocated) / n
        print(f"\n{n / 1e9:.2f}B, bfloat16: {found['held']:.2f} bytes held a parameter (wanted: 6.2)")
    pairs = [(parameter.data, line.minus.weights[name]) for name, parameter in line.model.named_parameters()]

    def copy_() -> None:
        torch._foreach_copy_([to for to, _ in pairs], [of for _, of in pairs])

    found["point"] = common.compare("mixing, 8B", {"copy_": copy_, "lerpnb": lambda: line.at(0.3)}, 2 * repeats)
    common.show(found["point"])
    found["one alpha"] = one_alpha(line, tokens, min(repeats, 3))
    found["resolutions"] = line.resolutions
    print("\nwhat is left of the delta: ", ", ".join(f"{dtype} {kept:.1%}" for dtype, kept in line.resolutions.items()))
    loss = losses_of(8 if tiny else 32)
    spec = Continuations(PROMPTS[:2] if tiny else [*PROMPTS, "We were", "I was"], n_samples=10, max_new_tokens=tokens)
    start = time.perf_counter()
    alphas = [0.5] if tiny else [i / 10 for i in range(11)]
    for alpha in alphas:
        model = line.at(alpha)
        loss.measure(model, words), sample(model, words, spec)
    if device == "cuda":
        torch.cuda.synchronize()
        found["peak"] = (torch.cuda.max_memory_allocated() - allocated) / n
    found["end to end"] = time.perf_counter() - start
    each = f"the loss of {len(loss.corpus)} texts and {len(spec.prompts) * spec.n_samples} texts of {tokens} tokens"
    print(f"{len(alphas)} alphas, {each} each: {found['end to end']:.1f} s")
    return found


def losses_of(n: int) -> Any:
    """The probe of a loss of n texts."""
    from lerpnb.data.corpus import Corpus
    from lerpnb.probes.loss import Loss

    boat = "a long and quiet story about two brothers and their boat " * 3
    return Loss(Corpus(tuple(f"{i} {PROMPTS[i % 8]} {boat}" for i in range(n)), (0,) * n, ("any",), "texts"))


def tokenizer() -> Any:
    """Words of the benchmark's texts; what the ids mean is of no matter to random weights."""
    import tiny_models as makers

    return makers.tokenizer(texts=[*makers.TEXTS, *PROMPTS], size=500)


def main() -> None:
    given = arguments()
    if given.device == "cuda" and not torch.cuda.is_available():
        print("No GPU is at hand: no figure is printed. Run this program on a machine with one.")
        return
    if given.device == "cpu":
        print("On a CPU, to see that the program runs. The times below are no figures.")
    started, repeats, words, found = time.time(), 1 if given.tiny else 5, tokenizer(), {}
    words.eos_token = None  # no text ends early, so that all ways write as many tokens
    tokens = 3 if given.tiny else 32

    def take(name: str, measure: Callable, *how: Any) -> None:
        try:
            found[name] = measure(*how)
        except AssertionError as error:  # what disagrees has no figure, and costs the others none
            print(f"\n{error}")
        print(f"  ({time.time() - started:.0f} s so far)", flush=True)

    dense = Line(*dense_ends(given.tiny, given.device, words), device=given.device)
    take("mixing, dense", mixing, "dense ends", dense, 4 * repeats)
    take("texts, dense", texts, "dense ends", dense, tokens, min(repeats, 2))
    take("walk", walking, dense, given.tiny, repeats)
    base = Checkpoint.from_model(gpt2_large(given.tiny, given.device, 0), words)
    low = Line(*low_rank_ends(base, words), device=given.device)
    take("mixing, low-rank", mixing, "low-rank ends", low, 4 * repeats)
    take("texts, low-rank", texts, "low-rank ends", low, tokens, min(repeats, 2))
    take("streaming", streaming, given.tiny, given.device, words, repeats)
    if given.model:
        demo = Line("data/adapters/negative", "data/adapters/positive", given.model, device=given.device)
        demo.tokenizer.eos_token = None
        demo.model.generation_config.eos_token_id = None
        take("demo", texts, "the demo line", demo, tokens, 2)
    del dense, base, low  # the next pair needs the room
    gc.collect()
    take("8B", eight_billion, given.tiny, given.device, words, repeats, tokens)
    if given.device == "cuda" and not given.tiny:
        print(common.save("gpu", found))


if __name__ == "__main__":
    main()
