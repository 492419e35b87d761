"""Compatibility: whether two checkpoints can be mixed, by architecture, tensors, configuration, tokenizer, buffers."""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from lerpnb.errors import CheckpointError, MismatchError
from lerpnb.utils.text import few

ONE_BASE = "A line needs two fine-tunes of one base model."

# Fields that change neither the network in eval mode nor the ids of a text; what is not known here is compared.
HARMLESS = re.compile(
    r"_.*|(?!token_dropout).*dropout.*|.*pdrop|.*layerdrop|.*drop_rate|output_(attentions|hidden_states|past|router_logits)"
    r"|(use_)?return_dict|use_cache|architectures|name_or_path|(torch_)?dtype|transformers_version|tie_word_embeddings"
    r"|vocab_size|id2label|label2id|num_labels|problem_type|task_specific_params|finetuning_task|initializer_.*"
    r"|pretraining_tp|chunk_size_feed_forward|gradient_checkpointing|quantization_config|auto_map|attn_implementation"
    r"|router_(aux_loss_coef|z_loss_coef|jitter_noise)|unsloth_.*|trl_version|tokenizer_class|torchscript"
)
ENDS = ("bos_token_id", "eos_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id")
LANGUAGE_MODEL = re.compile(r"|.*(ForCausalLM|LMHeadModel|ForConditionalGeneration)")
# These count a text's positions from its padding, or mask it themselves.
READ_PADDING = re.compile(
    r"(xlm-|xlm_)?roberta(-xl|-prelayernorm)?|camembert|xmod|data2vec-text|ibert|esm|evolla|mpnet|longformer|luke|markuplm"
    r"|layoutlmv3|lilt|xglm|kosmos.*|trocr|dpr|reformer|splinter|altclip.*|bridgetower.*|clap.*"
)
SCALED_BY_TIE = ("umt5", "switch_transformers", "udop")  # a tied head divides the hidden states, as T5's own field says

PROBE = "The film wasn't good:  3 of 10,\n\tbut I liked it — très bien! 好"


def network(config: Any, architecture: str = "") -> dict:
    """The fields of a configuration that make another network, or other ids, of the same tensors.

    Those of an inner configuration are called as in "text_config.rope_theta". Which token ids the network itself reads
    depends on the class of the model; without one it is a language model.
    """
    raw, inner = config.to_dict(), {}
    unread: tuple[str, ...] = () if config.is_encoder_decoder else ENDS
    if unread and LANGUAGE_MODEL.fullmatch(architecture) and not READ_PADDING.fullmatch(config.model_type):
        unread += ("pad_token_id",)
    if _is_length_limit(raw):
        unread += ("max_position_embeddings",)
    if config.model_type in SCALED_BY_TIE:
        inner["tie_word_embeddings"] = config.tie_word_embeddings
    for field, value in raw.items():
        if isinstance(value, dict) and hasattr(part := getattr(config, field, None), "to_dict"):
            inner |= {f"{field}.{name}": of for name, of in network(part, architecture).items()}
        elif field not in unread and not HARMLESS.fullmatch(field):
            inner[field] = json.loads(json.dumps(value, default=str))  # a tuple as a list, as it is when read again
    return inner


def _is_length_limit(raw: dict) -> bool:
    """Whether max_position_embeddings only says how long a text may be; other rotary embeddings compute with it."""
    found = raw.get("rope_parameters") or {}
    ropes = [found] if "rope_type" in found else [rope for rope in found.values() if isinstance(rope, dict)]
    kinds = [rope.get("rope_type") for rope in ropes if not (rope.get("rope_type") == "yarn" and rope.get("factor"))]
    return bool(ropes) and set(kinds) <= {"default", "linear", "llama3"}


def refuse_not_finite(tensors: Mapping[str, Any], call: str) -> None:
    """Refuse float tensors with NaN or infinite values, and say which."""
    odd = []
    for name, tensor in tensors.items():
        if tensor.numel() and not all(bound.isfinite() for bound in tensor.aminmax()):  # takes no memory
            nans, infinite = int(tensor.isnan().sum()), int(tensor.isinf().sum())
            odd.append(f"{name}: {nans:,} NaN and {infinite:,} infinite of {tensor.numel():,}")
    if odd:
        verb = "holds" if len(odd) == 1 else "hold"
        raise CheckpointError(
            f"{call}: {len(odd)} of {len(tensors)} tensors {verb} NaN or infinite values.\n{few(odd)}\n"
            "A line through them is NaN everywhere: take an earlier checkpoint, or train again."
        )


class CompatibilityCheck:
    """Compares two named checkpoints part by part; a difference is a `MismatchError` under one call's name."""

    def __init__(self, call: str, first: str = "minus", second: str = "plus"):
        self.call, self.first, self.second = call, first, second

    def _refuse(self, what: str, lines: list[str], way_out: str) -> None:
        """An error with what differs, if anything does."""
        if lines:
            raise MismatchError(f"{self.call}: {what}\n{few(lines)}\n{way_out}")

    def _both(self, what: str, a: Any, b: Any) -> str:
        return f"{what}: {self.first} {a}, {self.second} {b}"

    def _differing(self, a: Mapping, b: Mapping, keys: Iterable, what: str = "{}") -> list[str]:
        """A line for each of the keys under which the two have something else."""
        odd = [key for key in keys if a.get(key) != b.get(key)]
        return [self._both(what.format(key), a.get(key, "absent"), b.get(key, "absent")) for key in odd]

    def architectures(self, a: str, b: str) -> None:
        if a != b:
            self._refuse("other architectures.", [self._both("architecture", a, b)], ONE_BASE)

    def heads(self, a: tuple[str, str], b: tuple[str, str]) -> None:
        """Refuse a model that lacks the head of the other: of each, its architecture and its body's."""
        for bare, of, name, other in ((a, b, self.first, self.second), (b, a, self.second, self.first)):
            if bare[0] == of[1] != of[0]:
                way_out = f"Give it that head: Checkpoint.load(...).with_head({other}), which no path changes"
                way_out += "; or leave the base out." if name == "base" else "."
                self._refuse(f"{name} has no head.", [self._both("architecture", a[0], b[0])], way_out)

    def labels(self, a: tuple[str, ...], b: tuple[str, ...]) -> None:
        """Refuse classifiers whose logits mean other labels, or the same in another order."""
        if a != b:
            lines = [self._both("labels", ", ".join(a) or "none", ", ".join(b) or "none")]
            self._refuse("their labels differ.", lines, "Train both with the same labels in the same order.")

    def shapes(self, ends: Sequence[Mapping[str, tuple]], vocabulary: Sequence[int], only_common: bool = False) -> None:
        """Refuse tensors that one of two lacks or that have another shape."""
        a, b = ends
        names = [name for name in {**a, **b} if not only_common or (name in a and name in b)]
        lines = self._differing(a, b, names)
        way_out = ONE_BASE
        if vocabulary[0] != vocabulary[1]:
            way_out = self._both("The vocabulary was resized", *vocabulary)
            way_out += f".\nBring both to one size first: model.resize_token_embeddings({min(vocabulary)})."
        verb = "does" if len(lines) == 1 else "do"
        self._refuse(f"{len(lines)} of {len(names)} tensors {verb} not match.", lines, way_out)

    def configs(self, a: Any, b: Any, architecture: str = "") -> None:
        """Refuse configurations that would make two different networks of the same tensors (say, rope_theta)."""
        a, b = network(a, architecture), network(b, architecture)
        lines = self._differing(a, b, sorted({**a, **b}))
        self._refuse("their configurations differ.", lines, "One live model can follow only one. " + ONE_BASE)

    def tokenizers(self, a: Any, b: Any) -> None:
        """Refuse tokenizers that give one text different ids, or end a text with another token."""
        if a is None or b is None or a is b:
            return
        ids = a.get_vocab(), b.get_vocab()
        odd = {token for token, _ in ids[0].items() ^ ids[1].items()}
        odd_tokens = sorted(odd, key=lambda token: (min(e[token] for e in ids if token in e), token))
        lines = self._differing(ids[0], ids[1], odd_tokens, "token {!r}")
        if not lines:
            rules = [dict(enumerate(map(repr, _merges(end)), 1)) for end in (a, b)]
            lines = self._differing(rules[0], rules[1], rules[0] | rules[1], "merge {}")[:1]
        roles = ("bos_token", "eos_token", "unk_token")  # not the padding: training chooses it, and it is masked
        values = [(role, getattr(a, role, None), getattr(b, role, None)) for role in roles]
        lines += [self._both(role, repr(x), repr(y)) for role, x, y in values if str(x) != str(y)]
        special = sorted(set(_special(a)) ^ set(_special(b)))
        where = (self.first, self.second)
        lines += [f"{token!r}: special in {where[token in _special(b)]} only" for token in special]
        if not lines and (ids := (a(PROBE)["input_ids"], b(PROBE)["input_ids"]))[0] != ids[1]:
            lines = [f"{PROBE[:20]!r}...: {len(ids[0])} ids in {self.first}, {len(ids[1])} in {self.second}, not equal"]
        way_out = "Save both with the tokenizer of their base: tokenizer.save_pretrained(folder)."
        self._refuse("their tokenizers differ.", lines, way_out)

    def stops(self, a: Collection[int], b: Collection[int]) -> None:
        """Refuse models whose texts end with other tokens."""
        odd = [self._both("eos_token_id", sorted(a), sorted(b))] if set(a) != set(b) else []
        self._refuse("their texts end with other tokens.", odd, "Save both with one generation_config.json.")

    def integer_buffers(self, a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
        """Refuse integer or bool buffers with other values: between the ends neither is right."""
        lines = []
        for name in {**a, **b}:
            shapes = [tuple(end[name].shape) if name in end else "absent" for end in (a, b)]
            if shapes[0] != shapes[1]:
                lines.append(self._both(name, *shapes))
            elif differing := int((a[name] != b[name].to(a[name].device)).sum()):
                lines.append(f"{name}: {differing:,} of {a[name].numel():,} values differ")
        self._refuse("integer buffers differ, and they cannot be mixed.", lines, ONE_BASE)

    def bases(self, a: str, b: str) -> None:
        """Refuse two adapters of different bases; called when their weights were seen to differ."""
        way_out = ONE_BASE + " If both names mean the same weights, pass base=..."
        self._refuse("two adapters of different bases.", [f"{self.first}: {a}", f"{self.second}: {b}"], way_out)


def _merges(tokenizer: Any) -> list:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return json.loads(backend.to_str())["model"].get("merges", []) if backend is not None else []


def _special(tokenizer: Any) -> list[str]:
    return [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
