"""Curvature: the Hessian of the loss at a point, by its products with vectors: top eigenvalues and trace.

scipy's ARPACK finds the eigenvalues. The products and the trace are our own: curvlinops 3.0.1 builds the random vectors
of a trace and their products all at once (two models' memory a draw), has no logits in pieces, and needs torchvision.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad, jvp, vjp
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lerpnb.checkpoints.vectors import dot
from lerpnb.data.corpus import Corpus
from lerpnb.errors import NotFiniteError, ProbeError
from lerpnb.probes import loss as loss_
from lerpnb.probes.differentiable import differentiable, refuse
from lerpnb.probes.loss import Loss, head_is_last
from lerpnb.probes.slopes import Texts
from lerpnb.results.measurement import Measurement

MatrixProduct = Callable[[Tensor], Tensor]


class Sharpness(Loss):
    """Top eigenvalues and trace of the Hessian H of a corpus's loss, at any point of any path.

        sharpness/x    = the largest eigenvalue of H = d2L / d theta2, all parameters (Lanczos; as in arXiv 2103.00065)
        eigenvalue-2/x = the second largest, and so on up to k
        trace/x        = tr H = mean of v' H v over random signs v (Hutchinson 1990); each v is an item

    L is the token-weighted mean loss that `Loss` measures. The Lanczos iteration is ARPACK's, implicitly restarted, by
    scipy, in the weights' own float32 and with few vectors, since a vector is as
    large as the model. A product with H is exact, a Jacobian-vector product of the gradient; of few texts it takes as
    long as reading and writing the five vectors that it holds meanwhile. The same random vectors serve all points, so
    differences along a path are less noisy than levels.

    Args:
        corpus: the texts. Few suffice to see orders of magnitude; time grows with their tokens.
        k: how many eigenvalues, from the largest down; 0 for none.
        n_samples: random vectors of the trace; 0 for none.
        tol: relative error of an eigenvalue at most, by ARPACK's own bound.
        vectors: Lanczos vectors kept, more than k; ARPACK takes the memory of four more.
        max_products: products with H that Lanczos may take before it gives up.
        seed: of all random vectors.
        name, max_length, batch_tokens: as of `Loss`.

    Raises:
        ProbeError: numbers out of range; when measured, a model that cannot be differentiated twice, or eigenvalues
            that are not found in `max_products` products.

    Example:
        >>> Sharpness(Corpus(("A fine film.",), (0,), ("fine",), "fine"), k=0).name
        'sharpness/fine'
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        k: int = 1,
        n_samples: int = 4,
        tol: float = 0.01,
        vectors: int = 6,
        max_products: int = 60,
        seed: int = 0,
        name: str | None = None,
        max_length: int = 512,
        batch_tokens: int = 512,
    ):
        super().__init__(corpus, name=name, max_length=max_length, batch_tokens=batch_tokens)
        if k < 0 or n_samples < 0 or not k + n_samples:
            raise ProbeError(
                f"Sharpness(k={k}, n_samples={n_samples}): expected 0 or more of each, and 1 or more of one."
            )
        if k and not k < vectors:
            raise ProbeError(f"Sharpness(vectors={vectors}): expected more than the k = {k} eigenvalues.")
        self.k, self.n_samples, self.tol, self.vectors, self.seed = k, n_samples, tol, vectors, seed
        self.max_products = max_products
        self.name = f"sharpness/{self.label}"

    def identity(self) -> dict:
        identity = super().identity() | {"probe": "sharpness", "name": self.name, "k": self.k, "draws": self.n_samples}
        search = {"vectors": self.vectors, "max_products": self.max_products}
        return identity | {"tol": self.tol, "seed": self.seed} | search

    def subset(self) -> Self:
        """One product with the Hessian of its two shortest texts, to see whether it repeats at little cost."""
        subset = super().subset()
        subset.k, subset.n_samples = 0, 1
        return subset

    def measure(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, Measurement]:
        refuse(model, self.name)
        product = Hessian(model, [(ids, lengths) for _, ids, lengths, _ in self._tokenized(model, tokenizer)])
        measured: dict[str, Measurement] = {}
        unit = "nats/token per squared weight"
        if self.k:
            start = random_signs(product.n, self.seed, product.like)
            values = top_eigenvalues(
                product, start, self.k, tol=self.tol, vectors=self.vectors, max_products=self.max_products
            )
            names = [self.name, *(f"eigenvalue-{i + 1}/{self.label}" for i in range(1, self.k))]
            for name, value in zip(names, values, strict=True):
                kind = "sharpness" if name == self.name else name.removesuffix(f"/{self.label}")
                measured[name] = Measurement(np.atleast_1d(value), unit=unit, items="values", kind=kind)
        if self.n_samples:
            estimates = trace_estimates(product, product.n, self.n_samples, self.seed + 1, product.like)
            measured[f"trace/{self.label}"] = Measurement(estimates, unit=unit, items="values", kind="trace")
        return measured


class Hessian:
    """The Hessian of texts' mean loss at a model's present weights, as products with vectors.

    H v = d/dt grad L(theta + t v) at t = 0, exact: a Jacobian-vector product of the gradient (Pearlmutter 1994). The
    texts come batch by batch, and the logits of a batch in pieces of at most `probes.loss.LOGITS` numbers, whose
    gradients are added up where they enter the last hidden state. A vector holds all parameters in the order of
    `model.parameters()`, tied ones once. The model is not changed.

    Args:
        model: a causal language model in float32 or float64.
        batches: (ids, lengths) each: (texts, longest) int64 padded on the right, and (texts,) int64.

    Attributes:
        n: the length of a vector.
        like: a tensor of the dtype and on the device of the vectors.
        products: how many were made.

    Example:
        >>> hessian = Hessian(tiny_llama().double(), [(torch.tensor([[1, 2, 3]]), torch.tensor([3]))])
        >>> u, v = torch.randn(2, hessian.n, dtype=torch.float64)
        >>> torch.allclose(u @ hessian(v), v @ hessian(u))
        True
    """

    def __init__(self, model: PreTrainedModel, batches: Sequence[tuple[Tensor, Tensor]]):
        self.model, self.batches, self.products = model, batches, 0
        self.weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
        self.sizes = [weight.numel() for weight in self.weights.values()]
        self.n, self.like = sum(self.sizes), next(iter(self.weights.values()))
        self.tokens = sum(int((lengths - 1).sum()) for _, lengths in batches)
        self._vocabulary = model.get_output_embeddings().weight.shape[0]
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        self._modules = [model.base_model, model.get_output_embeddings()] if head_is_last(model) else [Texts(model)]
        # What each module calls a weight of the model: tied ones are in both.
        self._called = [{own: names[id(p)] for own, p in module.named_parameters()} for module in self._modules]

    def __call__(self, v: Tensor) -> Tensor:
        """H v, (n,) for v (n,), of the weights' dtype."""
        self.products += 1
        parts = zip(self.weights.items(), v.split(self.sizes), strict=True)
        along = {name: part.view(weight.shape) for (name, weight), part in parts}
        result = torch.zeros_like(v)
        for ids, lengths in self.batches:
            with torch.no_grad(), differentiable():
                _, change = cast(Any, jvp(partial(self._gradient, ids, lengths), (self.weights,), (along,)))
            for name, part in zip(self.weights, result.split(self.sizes), strict=True):
                part.add_(change.pop(name).flatten(), alpha=1 / self.tokens)
        return result

    def _gradient(self, ids: Tensor, lengths: Tensor, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """The gradient of a batch's summed loss, {name: (shape of the weight)}."""
        if len(self._modules) == 1:
            return grad(lambda weights: (self._call(0, weights, ids, lengths) * (lengths - 1)).sum())(weights)
        place = torch.arange(ids.shape[1], device=ids.device)
        scored, mask = place[1:] < lengths.unsqueeze(1), (place < lengths.unsqueeze(1)).long()

        def trunk(weights: dict[str, Tensor]) -> Tensor:
            output = self._call(0, weights, input_ids=ids, attention_mask=mask, use_cache=False)
            return output.last_hidden_state[:, :-1][scored]

        def nll(hidden: Tensor, head: dict[str, Tensor], target: Tensor) -> Tensor:
            return F.cross_entropy(self._call(1, head, hidden), target, reduction="sum")

        hidden, back = cast(Any, vjp(trunk, weights))
        head, size = {name: weights[name] for name in self._called[1].values()}, loss_.LOGITS // self._vocabulary
        to_hidden, to_head = [], dict.fromkeys(head, 0.0)
        for h, target in zip(hidden.split(max(1, size)), ids[:, 1:][scored].split(max(1, size)), strict=True):
            step, change = grad(nll, argnums=(0, 1))(h, head, target)
            to_hidden.append(step)
            to_head = {name: to_head[name] + change[name] for name in head}
        [gradient] = back(torch.cat(to_hidden))
        return gradient | {name: gradient[name] + to_head[name] for name in head}

    def _call(self, i: int, weights: dict[str, Tensor], *args: Tensor, **named: Any) -> Any:
        """A module of the model, with other weights than its own."""
        own = {own: weights[name] for own, name in self._called[i].items()}
        return functional_call(self._modules[i], own, args, named)


def top_eigenvalues(
    product: MatrixProduct, start: Tensor, k: int = 1, *, tol: float = 0.01, vectors: int = 6, max_products: int = 60
) -> np.ndarray:
    """The k largest eigenvalues of a symmetric matrix, from its products with vectors.

    Implicitly restarted Lanczos by scipy's ARPACK, in the dtype of `start`: it keeps `vectors` + 4 vectors in the
    host's memory, and no eigenvectors.

    Args:
        product: v (n,) to A v (n,), both like `start`.
        start: (n,) the first vector, not 0.
        k: how many; below n.
        tol: relative error at most, by ARPACK's bound.
        vectors: Lanczos vectors, more than k. More of them take fewer products.
        max_products: products at most.

    Returns:
        (k,) float64, the largest first; NaN where a product is not finite.

    Raises:
        ProbeError: k is not below n, or they are not found in `max_products` products.

    Example:
        >>> top_eigenvalues(lambda v: torch.arange(10.0) * v, torch.ones(10), 2).round(3)
        array([9., 8.])
    """
    from scipy.sparse.linalg import LinearOperator, eigsh

    n, made = len(start), 0
    if not 0 < k < n:
        raise ProbeError(f"top_eigenvalues(k): got {k} of a matrix with {n} rows.\nIt takes 1 to {n - 1}.")

    def multiplied(v: np.ndarray) -> np.ndarray:
        nonlocal made
        if made == max_products:
            raise ProbeError(
                f"top_eigenvalues(max_products): not known to {tol:g} after {max_products} products.\n"
                "Give more vectors, more products, or a larger tol."
            )
        made += 1
        result = product(torch.from_numpy(np.ascontiguousarray(v)).to(start.device))
        if not math.isfinite(dot(result, result, dtype=None)):
            raise NotFiniteError("top_eigenvalues(product): it gives NaN or infinity.")
        return result.cpu().numpy()

    operator = LinearOperator((n, n), matvec=multiplied, dtype=start.cpu().numpy().dtype)
    kept, first = min(max(vectors, k + 1), n), start.cpu().numpy()
    try:
        values = eigsh(
            operator, k, which="LA", v0=first, ncv=kept, tol=tol, maxiter=max_products, return_eigenvectors=False
        )
    except NotFiniteError:
        return np.full(k, np.nan)
    return np.sort(values.astype(np.float64))[::-1]


def trace_estimates(
    product: MatrixProduct, n: int, n_samples: int, seed: int = 0, like: Tensor | None = None
) -> np.ndarray:
    """Hutchinson's estimates of a symmetric matrix's trace, v' A v for random signs v: their mean estimates it.

    One at a time, so that three vectors are held however many are drawn. The variance of one is twice the sum of the
    squared entries off the diagonal.

    Args:
        product: v (n,) to A v (n,).
        n: rows of the matrix.
        n_samples: how many.
        seed: of the signs, which are the same on every device.
        like: a tensor of the dtype and device wanted; float32 on the CPU by default.

    Returns:
        (n_samples,) float64.

    Example:
        >>> trace_estimates(lambda v: torch.arange(4.0) * v, 4, 2).tolist()  # of a diagonal matrix each one is exact
        [6.0, 6.0]
    """
    like, estimates = torch.empty(0) if like is None else like, []
    for i in range(n_samples):
        v = random_signs(n, seed + i, like)
        estimates.append(dot(v, product(v), dtype=None))
    return np.array(estimates)


def random_signs(n: int, seed: int, like: Tensor) -> Tensor:
    """(n,) of 1 and -1, of the dtype and on the device of `like`; the same signs for the same seed everywhere."""
    signs = torch.empty(n, dtype=like.dtype).bernoulli_(0.5, generator=torch.Generator().manual_seed(seed))
    return signs.mul_(2).sub_(1).to(like.device)
