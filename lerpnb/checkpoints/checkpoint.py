"""Checkpoint: the weights, configuration and tokenizer of one model, ready to be mixed."""

import copy
import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lerpnb.checkpoints.adapters import add_adapter, merge
from lerpnb.checkpoints.compatibility import refuse_not_finite
from lerpnb.checkpoints.devices import pick_device
from lerpnb.checkpoints.empty_head import under_empty_head
from lerpnb.checkpoints.identity import identity_of, stamp, tensors_sha256
from lerpnb.checkpoints.low_rank import DenseView, LowRank, Weight, dense
from lerpnb.checkpoints.memory import admit_untied, is_on, move, named_tensors, shared_copy, ties, untie
from lerpnb.checkpoints.metadata import CheckpointMetadata
from lerpnb.checkpoints.saving import read_folder
from lerpnb.errors import CheckpointError


class Checkpoint:
    """The weights, configuration and tokenizer identity of one model. Never changed once made.

    It has the architecture that its configuration names: a causal language model, a sequence classifier, an encoder.

    Attributes:
        metadata: what its files say before any weight is read.
        tokenizer: a transformers tokenizer, or None.
        base: the base of an adapter, else None; tensors that the adapter leaves alone are the base's own storage.
        tied: {alias: name} of parameters that are one parameter under two names.
        weights: {name: tensor in the dtype of its file, or `LowRank` for an adapter's plain LoRA}: each parameter once,
            under its first name, then the float buffers.
        tensors: the same as dense float32 tensors; what is not held so is made anew each time it is asked for.
        buffers: {name: tensor}: the integer and bool buffers.

    Example:
        >>> checkpoint = Checkpoint.from_model(tiny_llama())
        >>> checkpoint.tensors["model.norm.weight"].dtype
        torch.float32
    """

    def __init__(
        self,
        metadata: CheckpointMetadata,
        model: Any,
        tokenizer: Any = None,
        base: "Checkpoint | None" = None,
        low: Mapping[str, LowRank] | None = None,
    ):
        self.metadata, self.tokenizer, self.base = metadata, tokenizer, base
        for module in model.modules():
            if hasattr(module, "config") and hasattr(module.config, "return_dict"):
                module.config.return_dict = True  # probes read outputs by name
        self._bare, self._low = model, low or {}  # where a weight is low-rank, the bare model has its base's tensor
        self.tied, named = ties(model), named_tensors(model)
        self.weights: dict[str, Weight] = {n: self._low.get(n, t) for n, t in named.items() if t.is_floating_point()}
        self.tensors = DenseView(self.weights)
        self.buffers = {n: t for n, t in named.items() if not t.is_floating_point()}
        self._made = self._stamp()

    @classmethod
    def load(
        cls, name: str | Path, base: "Checkpoint | str | Path | None" = None, device: str | torch.device = "cpu"
    ) -> "Checkpoint":
        """Load a checkpoint from files, through transformers, in the dtype of its files.

        Weights in safetensors stay in their memory-mapped files where they lie on the host. Where a folder mixes dtypes
        they become float32, which loses nothing.

        An adapter is its base's own tensors and its factors, theta = theta_base + scaling * B A (see `LowRank`).

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
        if isinstance(base, Checkpoint):
            return cls.from_metadata(CheckpointMetadata.read(name, base.metadata), base, device)
        return cls.from_metadata(CheckpointMetadata.read(name, base), None, device)

    @classmethod
    def from_metadata(
        cls, metadata: CheckpointMetadata, base: "Checkpoint | None" = None, device: str | torch.device = "cpu"
    ) -> "Checkpoint":
        """Load what the metadata announces; `load` is both steps, between which metadata can be compared."""
        call = f"Checkpoint.load({metadata.name!r})"
        if metadata.base:
            base = base or cls.from_metadata(metadata.base, None, device)
            held = base.model if base._low else base._bare
            if (body := under_empty_head(held, metadata)) is not held:
                base, held = cls(base.metadata, body, base.tokenizer), body
            model, low = add_adapter(held, metadata.files, call)
        else:
            base, model, low = None, read_folder(metadata, call).to(pick_device(device)), None
        tokenizer = metadata.tokenizer if metadata.tokenizer is not None else base and base.tokenizer
        made = cls(metadata, model, tokenizer, base, low)
        seen = {tensor.data_ptr() for tensor in base._bare.parameters()} if base else set()  # checked with the base

        def checked(weight: Weight) -> bool:
            return weight.is_bounded() if isinstance(weight, LowRank) else weight.data_ptr() in seen

        own = {name: weight for name, weight in made.weights.items() if not checked(weight)}
        refuse_not_finite(DenseView(own, None), call)
        return made

    @classmethod
    def from_model(cls, model: nn.Module, tokenizer: Any = None, name: str = "model") -> "Checkpoint":
        """Wrap a live model without changing it.

        Its tensors are referenced, not copied (do not train it on meanwhile); those of other dtypes than float32,
        bfloat16 and float16 become float32 copies. A `PeftModel` becomes its base with its active adapters on it.

        Raises:
            CheckpointError: not a transformers model, quantized, on the meta device, or NaN or infinite weights.
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
                f"{call}: its weights are quantized or not in memory ({', '.join(sorted(kinds))}).\n"
                "Load it dequantized, without offloading."
            )
        shared, low = shared_copy(model, None), None
        if hasattr(shared, "merge_and_unload"):
            untie(shared)
            shared, low = merge(shared, call)
        if any(type(module).__module__.startswith("peft.") for module in shared.modules()):
            what = "an adapter on it that is no change of its weights, such as a prompt, or that add_adapter put there"
            raise CheckpointError(f"{call}: {what}.\nPass a PeftModel of a type that merges, or save it and load that.")
        admit_untied(shared)
        made = cls(CheckpointMetadata.of_model(name, shared, frozenset(kinds)), shared, tokenizer, low=low)
        refuse_not_finite(DenseView(made.weights, None), call)
        return made

    @property
    def name(self) -> str:
        """What the user wrote."""
        return self.metadata.name

    @property
    def folder(self) -> Path | None:
        """Where its files are; None for a model that was live already."""
        return self.metadata.folder

    @property
    def stored_dtypes(self) -> frozenset[str]:
        """The dtypes that the weights are stored in, e.g. `frozenset({"bfloat16"})`."""
        return self.metadata.dtypes

    @property
    def config(self) -> Any:
        """The transformers configuration of the model."""
        return self._bare.config

    @property
    def architecture(self) -> str:
        """The name of the model's class, e.g. `"LlamaForCausalLM"`."""
        return type(self._bare).__name__

    @property
    def body(self) -> str:
        """The name of the class inside the head, e.g. `"BertModel"`; the architecture itself where there is no head."""
        return type(self._bare.base_model).__name__

    @property
    def labels(self) -> tuple[str, ...]:
        """What a classifier's logits are called, in their order; empty for what is none."""
        n = self.config.num_labels if "Classification" in self.architecture else 0
        return tuple(self.config.id2label.get(i, f"LABEL_{i}") for i in range(n))

    @property
    def generation_config(self) -> Any:
        """The transformers generation configuration of the model; None for one that generates nothing."""
        return self._bare.generation_config if self._bare.can_generate() else None

    def stops(self, tokenizer: Any) -> set[int]:
        """The tokens that end a text: the tokenizer's and those of the model's generation configuration."""
        ends = getattr(self.generation_config, "eos_token_id", None)
        ids = [getattr(tokenizer, "eos_token_id", None), *(ends if isinstance(ends, list) else [ends])]
        return {token for token in ids if token is not None}

    @property
    def n_parameters(self) -> int:
        """How many numbers the parameters hold, tied ones counted once."""
        return sum(parameter.numel() for parameter in self._bare.parameters())

    @property
    def filters(self) -> dict[str, int]:
        """{name of each matrix: the dimension that counts filters, the weights into one neuron: 0, or 1 in Conv1D}."""
        from transformers.pytorch_utils import Conv1D

        turned = {id(module.weight) for module in self._bare.modules() if isinstance(module, Conv1D)}
        return {name: int(id(p) in turned) for name, p in self._bare.named_parameters() if p.dim() > 1}

    @property
    def sha256(self) -> str:
        """Hash over the names, dtypes, shapes and bytes of all tensors and buffers.

        Raises:
            CheckpointError: a tensor was written to after the checkpoint was made.
        """
        if self._stamp() != self._made:
            raise CheckpointError(
                f"Checkpoint {self.name!r}: its weights were written to after it was made, by further training say.\n"
                "Make the checkpoint anew, and the paths on it."
            )
        return self._sha256

    @functools.cached_property
    def _sha256(self) -> str:
        held = (
            (n, self.buffers[n] if n in self.buffers else dense(self.weights[n]))
            for n in sorted([*self.weights, *self.buffers])
        )
        return tensors_sha256(held)

    def _stamp(self) -> list[tuple[int, int]]:
        factors = [factor for weight in self._low.values() for factor in (weight.up, weight.down)]
        tensors = [*self._bare.parameters(), *self._bare.buffers(), *factors]
        return stamp(tensors, sums=self.folder is None)  # nobody else holds what was read from files

    @property
    def identity(self) -> str:
        """Hash of all that a value measured on it depends on: weights, and the present state of model and tokenizer.

        Raises:
            UnstorableError: of a part that cannot be told, such as a hook.
        """
        return identity_of(self.sha256, self._bare, self.tokenizer)

    @functools.cached_property
    def model(self) -> Any:
        """A frozen float32 model in eval mode that holds the weights; use `new_model` for one to write into.

        Where weights are low-rank or in 16 bits it is made when first asked for, and kept: dense float32 copies of
        those.
        """
        if not self._low and all(p.dtype == torch.float32 for p in self._bare.parameters()):
            return self._bare
        shared = shared_copy(self._bare)
        for name, weight in self._low.items():
            shared.get_parameter(name).data = weight.tensor()
        return shared

    def new_model(
        self, device: str | torch.device | None = None, dtype: torch.dtype = torch.float32, fill: bool = True
    ) -> Any:
        """A fresh live model with memory of its own and the same ties, frozen and in eval mode, to be mixed into.

        Args:
            device: where it goes; None puts each tensor where the checkpoint has it.
            dtype: of its parameters; float buffers, such as rotary frequencies, stay float32.
            fill: False leaves its parameters undefined, for one that is written to before it is used.
        """
        device = None if device is None else pick_device(device)
        memo: dict[int, torch.Tensor] = {
            id(p): nn.Parameter(torch.empty_like(p, device=device, dtype=dtype), requires_grad=False)
            for p in self._bare.parameters()
        }
        memo |= {id(b): b.to(device, copy=True) for b in self._bare.buffers()}
        live = copy.deepcopy(self._bare, memo)
        for name, parameter in live.named_parameters() if fill else ():
            parameter.data.copy_(dense(self.weights[name]))
        return live

    def to(self, device: str | torch.device | Mapping[str, torch.device], moved: dict | None = None) -> "Checkpoint":
        """This checkpoint where it is on that device (or each tensor on its own) already, else one with copies there.

        Checkpoints that share tensors still do when they are moved with one dict `moved`.
        """
        if not isinstance(device, Mapping):
            device = dict.fromkeys([*self.weights, *self.buffers], pick_device(device))
        cpu = torch.device("cpu")
        if all(is_on(p, device.get(name, cpu)) for name, p in self._bare.named_parameters()):
            return self
        moved = {} if moved is None else moved
        copied = move(self._bare, device, moved)
        low = {name: weight.to(device[name], moved) for name, weight in self._low.items()}
        return Checkpoint(self.metadata, copied, self.tokenizer, self.base, low)

    def untied(self) -> "Checkpoint":
        """The same checkpoint with each tied parameter under all its names (on one storage), and nothing tied."""
        shared = shared_copy(self._bare, None)
        untie(shared)
        admit_untied(shared)
        return Checkpoint(self.metadata, shared, self.tokenizer, self.base, self._low)

    def with_vocabulary(self, rows: int) -> "Checkpoint":
        """The same checkpoint with the first rows alone of its embedding and its head."""
        shared = shared_copy(self._bare, None)
        shared.resize_token_embeddings(rows, mean_resizing=False)
        shared.requires_grad_(False)
        return Checkpoint(CheckpointMetadata.of_model(self.name, shared, self.stored_dtypes), shared, self.tokenizer)

    def with_head(self, of: "Checkpoint") -> "Checkpoint":
        """This body under another's head: a pre-trained encoder that can be mixed with a classifier made from it.

        The head and the labels are `of`'s. The head is the very same memory, so no path between the two changes it. A
        head that this checkpoint has is left out. Neither of the two is changed.

        Raises:
            MismatchError: bodies of another class, shape, vocabulary or configuration.

        Example:
            >>> from transformers import BertModel
            >>> classifier = tiny_classifier()
            >>> encoder = BertModel(classifier.config)
            >>> both = Checkpoint.from_model(encoder).with_head(Checkpoint.from_model(classifier)).model
            >>> torch.equal(both.bert.pooler.dense.weight, encoder.pooler.dense.weight)
            True
            >>> both.classifier.weight.data_ptr() == classifier.classifier.weight.data_ptr()
            True
        """
        from lerpnb.checkpoints.heads import with_head

        return with_head(self, of)

    def with_weights(self, weights: Mapping[str, Weight], name: str) -> "Checkpoint":
        """This network and tokenizer with other weights, by the names and of the shapes that `weights` has."""
        shared = shared_copy(self._bare, None)
        low = {n: weight for n, weight in weights.items() if isinstance(weight, LowRank)}
        for n, tensor in [*shared.named_parameters(), *shared.named_buffers()]:
            if n in weights:
                tensor.data = low[n].base if n in low else weights[n]
        metadata = replace(self.metadata, name=name, folder=None)
        return Checkpoint(metadata, shared, self.tokenizer, self.base, low)

    def __repr__(self) -> str:
        dtypes = ", ".join(sorted(self.stored_dtypes))
        return f"Checkpoint({self.name!r}: {self.architecture}, {self.n_parameters:,} parameters, {dtypes})"


ModelSource = Checkpoint | nn.Module | str | Path  # a checkpoint, a live transformers model, or a name
