"""Time to put theta(alpha) into the live model, as a multiple of copying as many bytes: ours, the naive way, the peers.

    python tests/benchmarks/mix.py [--tiny]

Limits: 1.5x for dense ends, with the naive way at least 8x slower than ours; 4x for low-rank ends, whose product of
factors takes longer than a copy however it is cut; no memory a point.
"""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import common
import torch

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.low_rank import LowRank
from lerpnb.checkpoints.memory import shared_copy
from lerpnb.checkpoints.quiet import quiet
from lerpnb.errors import AssetError
from lerpnb.paths.mixer import Mixer

ALPHA = 0.25
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def cases(tiny: bool) -> dict[str, Callable[[], tuple[Checkpoint, Checkpoint]]]:
    """{name: a maker of two ends}: made one after the other, so that memory holds one case at a time."""
    size = "tiny" if tiny else "124M"
    found = {
        f"GPT-2 {size}, dense ends": lambda: tuple(
            Checkpoint.from_model(common.gpt2(tiny, seed).to(DEVICE)) for seed in (1, 2)
        ),
    }
    if tiny:
        found["GPT-2 tiny, two adapters of rank 8"] = lambda: two_adapters(Checkpoint.from_model(common.gpt2(tiny)))
    else:
        found["demo, its adapters merged densely"] = lambda: tuple(
            Checkpoint.from_model(end.model) for end in demo_ends()
        )
        found["demo, its two adapters of rank 8"] = demo_ends
    return found


def two_adapters(base: Checkpoint) -> tuple[Checkpoint, Checkpoint]:
    """Random low-rank ends on one base: rank 8 on every matrix of every layer."""
    generator, ends = torch.Generator().manual_seed(3), []
    for _ in range(2):
        low = {}
        for name, weight in base.tensors.items():
            if ".h." in name and weight.dim() == 2:
                up, down = (0.03 * torch.randn(n, 8, generator=generator).to(DEVICE) for n in weight.T.shape)
                low[name] = LowRank(weight, up, down.T.contiguous(), 2.0, transposed=True)
        ends.append(Checkpoint(base.metadata, shared_copy(base.model), None, base, low))
    return tuple(ends)


def demo_ends() -> tuple[Checkpoint, Checkpoint]:
    minus = Checkpoint.load("data/adapters/negative").to(DEVICE)
    return minus, Checkpoint.load("data/adapters/positive", base=minus.base.to(DEVICE))


def lerpnb_way(minus: Checkpoint, plus: Checkpoint) -> tuple[Callable, Mixer]:
    live = minus.new_model()
    mixer = Mixer(live, [minus.weights, plus.weights])

    def put() -> torch.nn.Module:
        mixer.put((1 - ALPHA, ALPHA))
        return live

    return put, mixer


def copy_way(minus: Checkpoint, plus: Checkpoint) -> Callable:
    pairs = [(parameter.data, minus.tensors[n].clone()) for n, parameter in minus.new_model().named_parameters()]

    @torch.no_grad()
    def copy() -> None:
        for live, tensor in pairs:
            live.copy_(tensor)

    return copy


def naive_way(minus: Checkpoint, plus: Checkpoint) -> Callable:
    a, b, live = minus.model.state_dict(), plus.model.state_dict(), minus.new_model()

    def naive() -> torch.nn.Module:
        live.load_state_dict({name: (1 - ALPHA) * a[name] + ALPHA * b[name] for name in a})
        return live

    return naive


def mergekit_way(minus: Checkpoint, plus: Checkpoint) -> Callable:
    from mergekit.merge_methods.base import PerInputValues, TensorGroup
    from mergekit.merge_methods.linear import linear_merge

    a, b, live = minus.model.state_dict(), plus.model.state_dict(), minus.new_model()
    weights = {"weight": PerInputValues([(0, 1 - ALPHA), (1, ALPHA)]), "normalize": False}

    def merge() -> torch.nn.Module:
        groups = [TensorGroup.from_tensors([a[name], b[name]]) for name in a]
        live.load_state_dict(dict(zip(a, linear_merge(groups, parameters=weights), strict=True)))
        return live

    return merge


def loss_landscapes_way(minus: Checkpoint, plus: Checkpoint) -> Callable:
    """The step of its `linear_interpolation` loop; it only adds to the neighbour, and so drifts from the line."""
    from loss_landscapes.model_interface.model_wrapper import wrap_model

    live = minus.new_model()
    start, end = (wrap_model(model).get_module_parameters() for model in (live, plus.model))
    direction = (end - start) / round(1 / ALPHA)

    @torch.no_grad()
    def step() -> torch.nn.Module:
        start.add_(direction)
        return live

    return step


def nngeom_way(minus: Checkpoint, plus: Checkpoint) -> Callable:
    """One point of its `linear_interpolation`."""
    from nngeom.models import TorchAdapter

    live = minus.new_model()
    ends = [TorchAdapter(model.requires_grad_(True), None) for model in (live, plus.new_model())]
    base = ends[0].parameters_flat()
    direction = ends[1].parameters_flat() - base

    def point() -> torch.nn.Module:
        ends[0].set_parameters_flat(base + ALPHA * direction)
        return live

    return point


PEERS = {"mergekit in memory": mergekit_way, "loss-landscapes": loss_landscapes_way, "nngeom": nngeom_way}


@torch.no_grad()
def truth(minus: Checkpoint, plus: Checkpoint) -> dict[str, torch.Tensor]:
    """theta(ALPHA) in float64."""
    names = [name for name, _ in minus.model.named_parameters()]
    return {n: (1 - ALPHA) * minus.tensors[n].double() + ALPHA * plus.tensors[n].double() for n in names}


@torch.no_grad()
def gap(model: torch.nn.Module, expected: dict[str, torch.Tensor]) -> float:
    """The largest difference of a parameter from float64, as a share of the tensor's largest number, or of 1."""
    worst = 0.0
    for name, parameter in model.named_parameters():
        scale = max(1.0, expected[name].abs().max().item())
        worst = max(worst, (parameter - expected[name]).abs().max().item() / scale)
    return worst


def allocated(mixer: Mixer) -> int:
    """The bytes that the profiler sees taken while four points are put, two of them the ends."""
    from torch.profiler import ProfilerActivity, profile

    alphas = (0.0, 0.3, 1.0, 1.7)
    for alpha in alphas:  # scratch is taken at its first use
        mixer.put((1 - alpha, alpha))
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (DEVICE == "cuda")
    with profile(activities=activities, profile_memory=True) as record:
        for alpha in alphas:
            mixer.put((1 - alpha, alpha))
    events = record.events()
    return sum(max(0, event.self_cpu_memory_usage) + max(0, event.self_device_memory_usage) for event in events)


def run(name: str, minus: Checkpoint, plus: Checkpoint, repeats: int) -> dict:
    put, mixer = lerpnb_way(minus, plus)
    copy = {"copy_ of the same bytes": copy_way(minus, plus)}
    ways = copy | {"lerpnb": put, "naive dict + load_state_dict": naive_way(minus, plus)}
    expected = truth(minus, plus)

    def agree(way: str, model: torch.nn.Module) -> float | None:
        return None if way.startswith("copy_") else gap(model, expected)

    result = common.compare(name, ways, repeats, agree)
    result["bytes"] = 4 * minus.n_parameters
    result["bytes allocated in 4 points"] = allocated(mixer)
    ours, naive = (result["ways"][way]["seconds"] for way in ("lerpnb", "naive dict + load_state_dict"))
    result["naive over ours"] = naive / ours
    common.show(result)
    print(
        f"  the naive way takes {naive / ours:.1f} times ours; "
        f"allocated in 4 points: {result['bytes allocated in 4 points']} bytes"
    )
    if name.startswith("GPT-2") and not minus._low:  # once is enough, and peers have no low-rank ends
        # Afterwards, for the gigabytes that they take and give back make the ways above faster or slower.
        beside = common.compare(f"{name}, peers", copy | peers(minus, plus), repeats // 3, agree)
        common.show(beside)
        result["ways"] |= {way: found for way, found in beside["ways"].items() if way in PEERS}
    return result


def peers(minus: Checkpoint, plus: Checkpoint) -> dict[str, Callable]:
    """The peers that are installed."""
    found = {}
    for peer, way in PEERS.items():
        try:
            with quiet():
                found[peer] = way(minus, plus)
        except ImportError as error:
            print(f"{peer}: left out, it is not installed ({error}).")
    return found


def one(name: str, tiny: bool) -> dict | None:
    try:
        ends = cases(tiny)[name]()
    except AssetError as error:
        print(f"{name}: left out. {error}")
        return None
    return run(name, *ends, repeats=6 if tiny else 15)


def main() -> None:
    tiny = common.arguments(__doc__).tiny
    if tiny:
        for name in cases(tiny):
            one(name, tiny)
        return
    # A process a case: an allocator that has grown in one makes the naive way of the next faster than a user sees it.
    fresh = {"mp_context": get_context("spawn"), "max_workers": 1, "max_tasks_per_child": 1}
    with ProcessPoolExecutor(initializer=common.silence, **fresh) as pool:
        results = [result for name in cases(tiny) if (result := pool.submit(one, name, tiny).result())]
    print(common.save("mix", results))


if __name__ == "__main__":
    main()
