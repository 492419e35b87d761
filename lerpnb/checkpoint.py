"""Checkpoint: the weights, configuration and tokenizer of one causal language model, ready to be mixed."""

import copy
import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .adapter import add_adapter, merge
from .errors import CheckpointError
from .header import Header, few, first_line
from .live import admit_untied, borrow, pick_device, quiet, ties, untie
from .mixable import network, refuse_not_finite, tokenizer_text


class Checkpoint:
    """The weights, configuration and tokenizer identity of one causal language model. Never changed once made.

    Attributes:
        header: what was known before the weights were read.
        model: a frozen float32 model in eval mode that holds the weights; use `new_model` for one to write into.
        tokenizer: a transformers tokenizer, or None.
        base: the base of an adapter, else None; tensors that the adapter leaves alone are the base's own storage.
        tied: {alias: name} of parameters that are one parameter under two names.
        tensors: {name: float32 tensor}: each parameter once, under its first name, then the float buffers.
        buffers: {name: tensor}: the integer and bool buffers.

    Example:
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> config = LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        ...                      num_attention_heads=2)
        >>> checkpoint = Checkpoint.from_model(LlamaForCausalLM(config))
        >>> checkpoint.tensors["model.norm.weight"].dtype
        torch.float32
    """

    def __init__(
        self,
        header: Header,
        model: nn.Module,
        tokenizer: Any = None,
        base: "Checkpoint | None" = None,
    ):
        self.header, self.model, self.tokenizer, self.base = header, model, tokenizer, base
        self.tied = ties(model)
        self.tensors = {n: t for n, t in _named(model) if t.is_floating_point()}
        self.buffers = {n: t for n, t in _named(model) if not t.is_floating_point()}

    @classmethod
    def load(
        cls, name: str | Path, base: "Checkpoint | str | Path | None" = None, device: str | torch.device = "cpu"
    ) -> "Checkpoint":
        """Load a checkpoint from files, through transformers, in float32.

        An adapter becomes its base plus its dense delta, theta = theta_base + scaling * B A.

        Args:
            name: a hub id, folder, GGUF file, PEFT adapter folder, or built-in such as `"smollm2-135m-instruct"`.
            base: the base of an adapter: a name, or a `Checkpoint` to share; None takes the one that the adapter names.
            device: where the tensors go; "auto" takes cuda, then mps, then cpu. An adapter goes where its base is.

        Raises:
            AssetError: the name leads nowhere.
            CheckpointError: pickles, damaged files, missing tensors, NaN or infinite weights, no base.

        Example:
            ```python
            minus = Checkpoint.load("data/adapters/negative", base="smollm2-135m-instruct")
            plus = Checkpoint.load("data/adapters/positive", base=minus.base)  # the base is loaded once
            ```
        """
        loaded = base if isinstance(base, Checkpoint) else None
        return cls.of_header(Header.read(name, loaded.header if loaded else base), loaded, device)

    @classmethod
    def of_header(
        cls, header: Header, base: "Checkpoint | None" = None, device: str | torch.device = "cpu"
    ) -> "Checkpoint":
        """Load what a header announces; `load` is both steps, between which headers can be compared."""
        call = f"Checkpoint.load({header.name!r})"
        if header.base:
            base = base or cls.of_header(header.base, None, device)
            model = add_adapter(base.model, header.folder, call)
        else:
            base, model = None, _from_pretrained(header, call).to(pick_device(device))
        tokenizer = header.tokenizer if header.tokenizer is not None else base and base.tokenizer
        made = cls(header, model, tokenizer, base)
        refuse_not_finite(made.tensors, call)
        return made

    @classmethod
    def from_model(cls, model: nn.Module, tokenizer: Any = None, name: str = "model") -> "Checkpoint":
        """Wrap a live model without changing it.

        Its float32 tensors are referenced, not copied (do not train it on meanwhile); others become float32 copies. A
        `PeftModel` becomes its base plus its active adapters' dense delta.

        Raises:
            CheckpointError: not a transformers model, quantised, on the meta device, or NaN or infinite weights.
        """
        call = "Checkpoint.from_model(model)"
        model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
        if not hasattr(model, "config") or not isinstance(model, nn.Module):
            raise CheckpointError(
                f"{call}: {type(model).__name__}, expected a live transformers model.\n"
                "Checkpoint.load(name) loads one from files."
            )
        kinds = {str(p.dtype).removeprefix("torch.") for p in model.parameters()}
        if any(p.is_meta or not p.is_floating_point() for p in model.parameters()):
            raise CheckpointError(
                f"{call}: its weights are quantised or not in memory ({', '.join(sorted(kinds))}).\n"
                "Load it dequantised, without offloading."
            )
        twin = borrow(model)
        if hasattr(twin, "merge_and_unload"):
            untie(twin)
            twin = merge(twin, call)
        admit_untied(twin)
        shapes = {parameter: tuple(value.shape) for parameter, value in twin.named_parameters()}
        made = cls(Header(name, None, twin.config, shapes, frozenset(kinds)), twin, tokenizer)
        refuse_not_finite(made.tensors, call)
        return made

    @property
    def name(self) -> str:
        """What the user wrote."""
        return self.header.name

    @property
    def folder(self) -> Path | None:
        """Where its files are; None for a model that was live already."""
        return self.header.folder

    @property
    def stored_dtypes(self) -> frozenset[str]:
        """The dtypes of the weights before they became float32, e.g. `frozenset({"bfloat16"})`."""
        return self.header.dtypes

    @property
    def config(self) -> Any:
        """The transformers configuration of `model`."""
        return self.model.config

    @property
    def n_parameters(self) -> int:
        """How many numbers the parameters hold, tied ones counted once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @functools.cached_property
    def sha256(self) -> str:
        """Hash over the names, dtypes, shapes and bytes of all tensors and buffers."""
        digest = hashlib.sha256()
        for name, tensor in sorted({**self.tensors, **self.buffers}.items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()

    @functools.cached_property
    def identity(self) -> str:
        """Hash of all that a value measured on it depends on: weights, network, tokenizer and end-of-text tokens."""
        ends = getattr(self.model.generation_config, "eos_token_id", None) if self.model.can_generate() else None
        told = [self.sha256, network(self.config), ends, tokenizer_text(self.tokenizer)]
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()

    def new_model(self) -> nn.Module:
        """A fresh live model with memory of its own and the same ties, frozen and in eval mode, to be mixed into."""
        return copy.deepcopy(self.model)

    def to(self, device: str | torch.device) -> "Checkpoint":
        """This checkpoint where it is on that device already, else a copy of it there."""
        device = pick_device(device)
        if all(tensor.device.type == device.type for tensor in self.tensors.values()):
            return self
        return Checkpoint(self.header, self.new_model().to(device), self.tokenizer, self.base)

    def untied(self) -> "Checkpoint":
        """The same checkpoint with each tied parameter under all its names (on one storage), and nothing tied."""
        twin = borrow(self.model)
        untie(twin)
        admit_untied(twin)
        return Checkpoint(self.header, twin, self.tokenizer, self.base)

    def __repr__(self) -> str:
        dtypes = ", ".join(sorted(self.stored_dtypes))
        return f"Checkpoint({self.name!r}: {type(self.model).__name__}, {self.n_parameters:,} parameters, {dtypes})"


def _named(model: nn.Module) -> Iterable[tuple[str, torch.Tensor]]:
    """Each parameter once under its first name, detached, then each buffer."""
    yield from ((name, parameter.detach()) for name, parameter in model.named_parameters())
    yield from model.named_buffers()


def _from_pretrained(header: Header, call: str) -> nn.Module:
    from transformers import AutoModelForCausalLM

    try:
        with quiet():
            model, info = AutoModelForCausalLM.from_pretrained(
                header.folder,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # to name them ourselves
            )
    except Exception as error:
        raise CheckpointError(
            f"{call}: transformers cannot load it as a causal language model.\n  {first_line(error)}\n"
            "A checkpoint is what save_pretrained of such a model writes."
        ) from error
    odd = [f"{name}: not in the files" for name in sorted(info["missing_keys"])]
    odd += [f"{name}: in the files, not in {type(model).__name__}" for name in sorted(info["unexpected_keys"])]
    odd += [f"{name}: files {tuple(a)}, model {tuple(b)}" for name, a, b in sorted(info["mismatched_keys"])]
    if odd:
        raise CheckpointError(
            f"{call}: its tensors are not those of a {type(model).__name__}.\n{few(odd)}\n"
            "Missing ones would be made up at random: copy or download the folder again, or save the whole model."
        )
    model.requires_grad_(False)
    admit_untied(model)
    return model.eval()
