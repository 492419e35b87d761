"""A pair of the size that people have, stored in bfloat16: memory held, time to load, and time of a point (Linux only).

    python tests/benchmarks/size.py [--tiny]

It makes two random Llamas of 1.1 billion parameters, and two adapters of rank 8 on the first, in a temporary folder of
4.5 GB. Each line of the table is measured in a process of its own, the files in the system's cache.

Held: bytes a parameter of the process's own pages once it stands at its first alpha, over what it had after its
imports, and those of them that cannot be dropped (a mapped file's pages can). Loading: from `Line(...)` to the first
`at()`, over reading the same files by safetensors and copying both ends into a live model. A point: over a float32 copy
that moves as many bytes.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import common
import torch

SHAPE = {
    "vocab_size": 32_000,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
}
TINY = SHAPE | {"vocab_size": 500, "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 2}
# ends, live dtype -> held bytes a parameter, of them fixed, loading, a point
LIMITS = {
    ("dense", "float32"): (8.2, 4.1, 1.6, 2.0),
    ("dense", "bfloat16"): (6.2, 2.1, 1.6, None),
    ("adapters", "float32"): (6.4, None, 1.6, None),
    ("adapters", "bfloat16"): (4.3, None, 1.6, None),
}

LIVE = """
import gc, json, sys, time
from pathlib import Path
import peft, torch, transformers
from transformers.models.llama import modeling_llama
from transformers.utils import logging
from lerpnb.paths.line import Line
logging.disable_progress_bar()

def held():
    gc.collect()
    pages = dict(line.split(":") for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    size = {name: 1024 * int(text.split()[0]) for name, text in pages.items()}
    return size["Private_Clean"] + size["Private_Dirty"], size["Anonymous"]

dtype, base, minus, plus = sys.argv[1:]
before, start = held(), time.perf_counter()
line = Line(minus, plus, base=base or None, device="cpu", dtype=dtype)
line.at(0.25)
seconds = time.perf_counter() - start
own, fixed = (now - then for now, then in zip(held(), before))
n = sum(parameter.numel() for parameter in line.model.parameters())
print(json.dumps({"parameters": n, "held": own / n, "fixed": fixed / n, "seconds": seconds}))
"""

BARE = """
import json, sys, time
from pathlib import Path
import torch, transformers
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.llama import modeling_llama

dtype, base, minus, plus = sys.argv[1:]
start = time.perf_counter()
with torch.device("meta"):
    live = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base or minus), dtype=getattr(torch, dtype))
live.to_empty(device="cpu")
to = live.state_dict()
for folder in filter(None, (base, minus, plus)):
    for file in sorted(Path(folder).glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():
                tensor = tensors.get_tensor(name)
                to[name].copy_(tensor) if name in to else tensor.clone()
print(json.dumps({"seconds": time.perf_counter() - start}))
"""


def make(to: Path, shape: dict) -> dict[str, tuple]:
    """{kind of ends: base, minus, plus}; the weights are drawn tensor by tensor, so that memory holds one model."""
    import tiny_models as makers
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**shape, bos_token_id=1, eos_token_id=1, pad_token_id=2, tie_word_embeddings=False)
    with torch.device("meta"):
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.to_empty(device="cpu").requires_grad_(False)
    ends = []
    for name, noise in (("minus", 0.02), ("plus", 0.001)):
        generator = torch.Generator().manual_seed(len(ends))
        for parameter in model.parameters():
            drawn = torch.empty_like(parameter, dtype=torch.float32).normal_(0, noise, generator=generator)
            parameter.copy_(drawn if not ends else parameter + drawn)
        ends.append(makers.save(model, to / name, makers.tokenizer()))
    settings = {"r": 8, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]}
    adapters = [makers.adapter(ends[0], to / f"adapter-{seed}", seed, settings) for seed in (1, 2)]
    return {"dense": ("", *ends), "adapters": (ends[0], *adapters)}


def child(program: str, dtype: str, folders: tuple) -> dict:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, dtype, *map(str, folders)], capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def measured(ends: str, dtype: str, folders: tuple, repeats: int) -> dict:
    """What a line holds, and the median of its loading time over the bare read's, the two in turn."""
    rounds = [(child(LIVE, dtype, folders), child(BARE, dtype, folders)) for _ in range(repeats)]
    found = {"ends": ends, "live": dtype, **rounds[-1][0]}
    found["bare seconds"] = statistics.median(bare["seconds"] for _, bare in rounds)
    found["loading"] = statistics.median(line["seconds"] / bare["seconds"] for line, bare in rounds)
    return found


def point(folders: tuple, repeats: int) -> dict:
    """A point of the line into a float32 model, over a float32 copy of as many bytes."""
    from lerpnb.paths.line import Line

    line = Line(*folders[1:], device="cpu")
    live = [parameter for parameter in line.model.parameters()]
    other = [torch.empty_like(parameter).fill_(0.5) for parameter in live]

    def copy() -> None:  # 4 bytes read and 4 written a number, as a point does of two ends in 16 bits
        for to, of in zip(live, other, strict=True):
            to.copy_(of)

    alphas = iter([0.25, 0.75] * repeats * 2)
    return common.compare("a point", {"copy": copy, "lerpnb": lambda: line.at(next(alphas))}, repeats)


def main() -> None:
    tiny = common.arguments(__doc__.splitlines()[0]).tiny
    if not Path("/proc/self/smaps_rollup").exists():
        raise SystemExit("size.py reads /proc, which is Linux's.")
    with tempfile.TemporaryDirectory() as to:
        folders = make(Path(to), TINY if tiny else SHAPE)
        speed = point(folders["dense"], 3 if tiny else 7)["ways"]["lerpnb"]
        print(
            f"{'ends':10}{'live':10}{'held, bytes a parameter':>26}{'not droppable':>18}{'loading':>18}{'a point':>18}"
        )
        rows = []
        for (ends, dtype), limits in [*LIMITS.items()][-1 if tiny else 0 :]:
            row = measured(ends, dtype, folders[ends], 1 if tiny else 3)
            row["point"] = speed["ratio"] if limits[3] else None
            values = (row["held"], row["fixed"], row["loading"], row["point"])
            cells = [
                "" if value is None else f"{value:.2f}" + (f" (<= {limit})" if limit else "")
                for value, limit in zip(values, limits, strict=True)
            ]
            print(f"{ends:10}{dtype:10}{cells[0]:>26}{cells[1]:>18}{cells[2]:>18}{cells[3]:>18}")
            rows.append(row)
        if not tiny:
            print(common.save("size", {"rows": rows, "point": speed}))


if __name__ == "__main__":
    main()
