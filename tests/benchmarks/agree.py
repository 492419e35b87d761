"""Values beside peers on the same work: where they agree and to what, and where a peer is wrong a tiny case of it.

    python tests/benchmarks/agree.py [--tiny]

All on tiny models, in seconds. A peer that is not installed is said and left out.
"""

import copy
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import common
import numpy as np
import tiny_models as tiny
import torch

import lerpnb as ln
from lerpnb.checkpoints.quiet import quiet
from lerpnb.errors import ProbeError
from lerpnb.probes.curvature import Hessian, random_signs, top_eigenvalues
from lerpnb.probes.slopes import LossSlope, direction

ALPHAS = (0.25, 0.5, 0.75, 1.0)
Row = dict[str, str | float | bool]


class Case:
    """Two fine-tunes of a tiny Llama, one text, and the numbers that ours gives of them."""

    def __init__(self) -> None:
        words, model = tiny.tokenizer(), tiny.llama()
        self.minus, self.plus = (tiny.moved(model, seed) for seed in (1, 2))
        for end in (self.minus, self.plus):
            end.set_attn_implementation("eager")  # the peers differentiate twice
        ends = [ln.Checkpoint.from_model(end, words) for end in (self.minus, self.plus)]
        self.line = ln.Line(*ends, device="cpu")
        self.corpus = ln.Corpus((tiny.TEXTS[0],), (0,), ("x",), "x")
        self.ids = torch.tensor([words(tiny.TEXTS[0])["input_ids"]])

    def losses(self, alphas: tuple[float, ...]) -> np.ndarray:
        return ln.evaluate(self.line, alphas, [ln.Loss(self.corpus)], store=False).value("loss/x")

    def loss_of(self, model: torch.nn.Module) -> float:
        """transformers' own."""
        with torch.no_grad():
            return model(input_ids=self.ids, labels=self.ids).loss.item()


def agrees(peer: str, what: str, ours: np.ndarray | float, theirs: np.ndarray | float, to: float) -> Row:
    """A row where both should give one value: the largest difference as a share of the largest value."""
    ours, theirs = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    difference = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    assert difference <= to, f"{peer}, {what}: differs by {difference:.1e}, not {to:.0e}"
    return {"peer": peer, "what": what, "difference": difference, "to": to}


def wrong(peer: str, what: str, told: str, true: str, shown: bool) -> Row:
    """A row where the peer is wrong; `shown` is whether it is so here."""
    return {"peer": peer, "what": what, "told": told, "true": true, "shown": bool(shown)}


def of_transformers(case: Case) -> Iterator[Row]:
    theirs = [case.loss_of(case.line.at(alpha)) for alpha in ALPHAS]
    yield agrees("transformers", "loss of a text at 4 alphas", case.losses(ALPHAS), theirs, 1e-6)


def of_loss_landscapes(case: Case) -> Iterator[Row]:
    from loss_landscapes import linear_interpolation

    def metric(wrapper) -> float:
        return case.loss_of(wrapper.modules[0])

    peer, start, end = "loss-landscapes 3.0.6", copy.deepcopy(case.minus), copy.deepcopy(case.plus)
    theirs = linear_interpolation(start, end, metric, steps=4)
    yield agrees(peer, "loss at alpha .25, .5, .75, 1", case.losses(ALPHAS), theirs, 1e-5)
    at_0 = case.losses((0.0,))[0]
    told = f"4 steps give {theirs[0]:.4f} first"
    yield wrong(peer, "the line starts at its start", told, f"{at_0:.4f} at alpha 0", abs(theirs[0] - at_0) > 1e-3)
    apart = max((a - b).abs().max().item() for a, b in zip(start.parameters(), end.parameters(), strict=True))
    told = f"the start is {apart:.0e} from the end afterwards, and frozen"
    frozen = not any(p.requires_grad for p in start.parameters())
    yield wrong(peer, "the caller's model stays as it was", told, "unchanged", apart < 1e-5 and frozen)
    for steps in (10, 100):
        share = travelled(linear_interpolation, steps)
        told = f"{share:.0%} of the line after {steps} steps"
        yield wrong(peer, "bfloat16 ends 2 % of the weights' spread apart", told, "100 %", share < 0.9)


def travelled(linear_interpolation: Callable, steps: int) -> float:
    """The share of the way that it goes in bfloat16."""
    generator = torch.Generator().manual_seed(0)
    start, end = (torch.nn.Linear(256, 256, bias=False).bfloat16() for _ in range(2))
    start.weight.data = torch.randn(256, 256, generator=generator).bfloat16()
    end.weight.data = (start.weight.float() + 0.02 * torch.randn(256, 256, generator=generator)).bfloat16()
    first, delta = start.weight.detach().float().clone(), end.weight.detach().float() - start.weight.detach().float()
    linear_interpolation(start, end, lambda wrapper: 0.0, steps=steps)
    return ((start.weight.detach().float() - first) * delta).sum().item() / delta.square().sum().item()


def of_nngeom(case: Case) -> Iterator[Row]:
    import nngeom

    def model_of(module: torch.nn.Module) -> "nngeom.Model":
        module = copy.deepcopy(module).requires_grad_(True)
        return nngeom.Model(module, loss_fn=lambda m, ids: m(input_ids=ids, labels=ids).loss)

    peer, line = "nngeom 0.2.0", case.line
    ends = [model_of(end) for end in (case.minus, case.plus)]
    found = nngeom.linear_interpolation(*ends, case.ids, steps=5)
    yield agrees(peer, "loss at 5 alphas", case.losses(tuple(found.alphas)), found.losses, 1e-6)
    middle = line.at(0.5)
    theirs, slope = model_of(middle), LossSlope(line, case.corpus).measure(middle, line.tokenizer)
    product = Hessian(middle, [(case.ids, torch.tensor([case.ids.shape[1]]))])
    along = direction(line)
    d = torch.cat([along[name].flatten() for name in product.weights]).double().numpy()
    expected = float(theirs.gradient(case.ids) @ d)
    yield agrees(peer, "slope at alpha .5: <gradient, D>", slope["slope/x"].value(), expected, 1e-4)
    expected = nngeom.curvature_along(theirs, case.ids, d) * float(d @ d)
    yield agrees(peer, "second derivative at alpha .5: D'HD", slope["curvature/x"].value(), expected, 1e-4)
    v = random_signs(product.n, 0, product.like)
    yield agrees(peer, "Hessian times a vector", product(v).numpy(), theirs.hvp(case.ids, v.numpy()), 1e-4)
    alphas = nngeom.linear_interpolation(*ends, case.ids, steps=17, extend=0.3).alphas
    nearest, exact = np.abs(alphas).min(), np.abs(ln.alpha_grid(-0.3, 1.3, 17)).min()
    told = f"the nearest of 17 alphas is {nearest:.1e}"
    yield wrong(peer, "alpha 0 is among -0.3 ... 1.3", told, f"{exact:g}", nearest > 0 and exact == 0)
    try:
        nngeom.linear_interpolation(*(model_of(end.bfloat16()) for end in map(copy.deepcopy, [case.minus] * 2)), 0)
        told, shown = "it runs", False
    except TypeError as error:
        told, shown = f"TypeError: {error}", True
    yield wrong(peer, "bfloat16 models have a line", told, "they have, mixed in float32", shown)
    try:
        ours = top_eigenvalues(product, v, 2, tol=1e-5, vectors=20, max_products=300)
    except ProbeError as error:
        print(f"the Hessian's eigenvalues: left out. {error}")
        return
    expected = nngeom.lanczos_spectrum(theirs, case.ids, m=60, seed=0).eigenvalues[:2]
    yield agrees(peer, "2 largest eigenvalues of the Hessian", ours, expected, 1e-4)


def of_mergekit(case: Case) -> Iterator[Row]:
    from mergekit.merge_methods.base import PerInputValues, TensorGroup
    from mergekit.merge_methods.linear import linear_merge

    names = [name for name, _ in case.minus.named_parameters()]
    groups = [
        TensorGroup.from_tensors([end.get_parameter(n).detach() for end in (case.minus, case.plus)]) for n in names
    ]

    def merged(weights: tuple[float, float], normalize: bool) -> list[torch.Tensor]:
        settings = {"weight": PerInputValues(list(enumerate(weights))), "normalize": normalize}
        return linear_merge(groups, parameters=settings)

    def flat(tensors: list[torch.Tensor]) -> np.ndarray:
        return torch.cat([tensor.flatten() for tensor in tensors]).numpy()

    ours = flat([case.line.at(0.25).get_parameter(name) for name in names])
    yield agrees("mergekit 0.1.5", "weights at alpha .25", ours, flat(merged((0.75, 0.25), False)), 1e-6)
    ratio = np.median(flat(merged((0.2, 0.2), True)) / flat(merged((0.2, 0.2), False)))
    told = f"{ratio:.2f} times that, by its default to normalise"
    yield wrong("mergekit 0.1.5", "weights .2 and .2 give .2 a + .2 b", told, "1 time", abs(ratio - 1) > 0.1)


def of_peft(case: Case) -> Iterator[Row]:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with tempfile.TemporaryDirectory() as folder, quiet():
        base, minus, plus = tiny.adapter_trio(tiny.llama(), Path(folder))
        line = ln.Line(minus, plus, base, device="cpu")
        live = {name: p.clone() for name, p in line.at(0.5).named_parameters()}
        bare = AutoModelForCausalLM.from_pretrained(base)
        for kind in ("cat", "linear", "svd"):
            model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), minus, adapter_name="minus")
            model.load_adapter(plus, adapter_name="plus")
            model.add_weighted_adapter(["minus", "plus"], [0.5, 0.5], "mean", combination_type=kind)
            model.set_adapter("mean")
            mixed = dict(model.merge_and_unload().named_parameters())
            off = sum((mixed[name] - tensor).square().sum().item() for name, tensor in live.items())
            moved = sum((tensor - bare.get_parameter(name)).square().sum().item() for name, tensor in live.items())
            error = (off / moved) ** 0.5
            if kind == "cat":
                yield agrees("peft", "mean of two adapters' deltas, by cat", 1 + error, 1.0, 1e-5)
            else:
                told = f"{error:.0%} of the mean delta is wrong, by {kind}"
                yield wrong("peft", "mean of two adapters' deltas", told, "0 %", error > 0.05)


PEERS = {
    "transformers": of_transformers,
    "loss-landscapes": of_loss_landscapes,
    "nngeom": of_nngeom,
    "mergekit": of_mergekit,
    "peft": of_peft,
}


def show(rows: list[Row]) -> None:
    print("\nagree                 | on what                                      | to        | asked")
    for row in rows:
        if "to" in row:
            print(f"{row['peer']:21} | {row['what']:44} | {row['difference']:.1e}   | {row['to']:.0e}")
    print("\nwrong                 | what should be                                 | what it gives -> what is true")
    for row in rows:
        if "told" in row:
            mark = "" if row["shown"] else "   (not so with what is installed here)"
            print(f"{row['peer']:21} | {row['what']:46} | {row['told']} -> {row['true']}{mark}")


def main() -> None:
    is_tiny = common.arguments(__doc__).tiny
    case, rows = Case(), []
    for peer, compared in PEERS.items():
        try:
            rows += compared(case)
        except ImportError as error:
            print(f"{peer}: left out, it is not installed ({error}).")
    show(rows)
    if not is_tiny:
        print(common.save("agree", rows))


if __name__ == "__main__":
    main()
