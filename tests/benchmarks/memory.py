"""Peak memory of a walk, as a multiple of the float32 weights, each measured in a process of its own (Linux only).

    python tests/benchmarks/memory.py [--tiny]

The peak is VmHWM, memory-mapped weights included, over what the process held after its imports. What a loss walk takes
beside weights (activations, tokenizer, texts) is measured by the same probe on one plain model, and taken off.
Limits: 3.1x for dense ends, 2.2x for two adapters on one base.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import common

LIMITS = {"dense ends": 3.1, "two adapters": 2.2}

CHILD = """
import json, sys
from pathlib import Path
import peft, torch, transformers
from transformers import AutoModelForCausalLM
from transformers.models.gpt2 import modeling_gpt2
from transformers.models.llama import modeling_llama
from lerpnb import paths
from lerpnb.evaluation import loop
from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.data.corpus import Corpus
from lerpnb.probes.loss import Loss

def status(field):
    text = Path("/proc/self/status").read_text()
    return 1024 * int(text.split(field + ":")[1].split()[0])

kind, base, minus, plus = sys.argv[1:]
texts = tuple("a warm, funny and quietly sad story about two brothers and their boat" for _ in range(8))
probe = Loss(Corpus(texts, (0,) * 8, ("any",), "texts"))
Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
before = status("VmRSS")
if kind == "one plain model":
    model = Checkpoint.load(base)
    weights = 4 * model.n_parameters
    probe.measure(model.model, model.tokenizer)
else:
    line = paths.Line(minus, plus, device="cpu")
    weights = 4 * line.minus.n_parameters
    repr(line)
    loop.evaluate(line, [-0.5, 0.5, 1.5], [probe], store=False)
print(json.dumps({"weights": weights, "taken": status("VmHWM") - before}))
"""


def measured(kind: str, folders: tuple[str, str, str]) -> dict:
    """The float32 weights' bytes, and the bytes taken at the peak, in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, kind, *map(str, folders)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def gpt2_folders(to: Path, tiny: bool) -> dict[str, tuple]:
    """{kind: base, minus, plus}: a random GPT-2, two fine-tunes of it and two adapters on it."""
    import tiny_models as makers

    words = makers.tokenizer()
    base = makers.save(common.gpt2(tiny), to / "base", words)
    dense = [makers.save(common.gpt2(tiny, seed), to / f"dense-{seed}", words) for seed in (1, 2)]
    settings = {"r": 8, "target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True}
    adapters = [makers.adapter(base, to / f"adapter-{seed}", seed, settings) for seed in (1, 2)]
    return {"dense ends": (base, *dense), "two adapters": (base, *adapters)}


def demo_folders(to: Path) -> dict[str, tuple]:
    """The demo's adapters, and the same ends merged and saved."""
    from lerpnb.paths.line import Line

    adapters = ("data/adapters/negative", "data/adapters/positive")
    line = Line(*adapters, device="cpu")
    dense = [line.save(alpha, to / f"dense-{alpha}") for alpha in (0, 1)]
    base = line.base.name
    return {"dense ends": (base, *dense), "two adapters": (base, *adapters)}


def run(name: str, folders: dict[str, tuple]) -> dict:
    kinds = list(folders)
    plain = measured("one plain model", folders["two adapters"])
    others = [measured(kind, of_kind) for kind, of_kind in folders.items()]
    beside = plain["taken"] - plain["weights"]
    print(
        f"\n{name}: float32 weights {plain['weights'] / 2**20:,.0f} MiB; a probe takes {beside / 2**20:,.0f} MiB more"
    )
    found = {"name": name, "weights": plain["weights"], "beside": beside}
    for kind, other in zip(kinds, others, strict=True):
        taken = other["taken"]
        ratio = (taken - beside) / plain["weights"]
        print(f"  {kind:16}{taken / 2**20:8,.0f} MiB = {ratio:.2f}x the weights + that (limit {LIMITS[kind]}x)")
        found[kind] = {"taken": taken, "ratio": ratio}
    return found


def main() -> None:
    tiny = common.arguments(__doc__).tiny
    if not Path("/proc/self/clear_refs").exists():
        raise SystemExit("memory.py reads /proc, which is Linux's.")
    results = []
    with tempfile.TemporaryDirectory() as to:
        folders = gpt2_folders(Path(to) / "gpt2", tiny)
        if tiny:
            del folders["dense ends"]
        results.append(run("GPT-2 " + ("tiny" if tiny else "124M"), folders))
        if not tiny:
            results.append(run("demo", demo_folders(Path(to) / "demo")))
            print(common.save("memory", results))


if __name__ == "__main__":
    main()
