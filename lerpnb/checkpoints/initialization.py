"""Initialization: untrained models, small ones to pre-train and those of another's architecture. Each is made once."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoTokenizer, GPT2Config, PreTrainedTokenizerFast, T5Config

from lerpnb import assets
from lerpnb.checkpoints.gguf import model_folder
from lerpnb.checkpoints.pretrained import load_pretrained
from lerpnb.checkpoints.quiet import quiet
from lerpnb.errors import CheckpointError
from lerpnb.utils.atomic import atomic_folder, disk_errors

END, PADDING = "<end>", "<pad>"  # of a small model's tokenizer


def small_model(
    texts: Sequence[str],
    task: str = "causal",
    *,
    vocabulary: int = 2000,
    width: int = 128,
    layers: int = 4,
    heads: int = 4,
    positions: int = 128,
    seed: int = 0,
    folder: str | Path = "out/fine_tunes",
) -> Path:
    """An untrained small language model with a tokenizer of its own: something to pre-train in a minute on a CPU.

    A GPT-2 ("causal") or a T5 of as many layers in encoder and decoder ("seq2seq"), without dropout, and a byte-level
    byte-pair tokenizer learnt from the texts.

    Args:
        texts: what the tokenizer is learnt from.
        task: "causal" or "seq2seq".
        vocabulary: tokens at most, 258 or more (every byte, one that ends a text, one for padding).
        width: of the hidden states, a multiple of `heads`.
        positions: tokens of a text at most; a T5 has no limit.
        seed: of the weights.
        folder: where it is kept, in a folder of its own that a rerun finds again.

    Returns:
        The model's folder.

    Raises:
        CheckpointError: another task, a vocabulary too small, a width that the heads do not divide.

    Example:
        >>> import tempfile
        >>> sizes = dict(vocabulary=258, width=8, layers=1, heads=1)
        >>> folder = small_model(["a film"], **sizes, folder=tempfile.mkdtemp())
        >>> AutoConfig.from_pretrained(folder).architectures
        ['GPT2LMHeadModel']
    """
    if task not in ("causal", "seq2seq"):
        raise CheckpointError(f"small_model(task={task!r}): no such task.\nIt is causal or seq2seq.")
    if vocabulary < 258:
        raise CheckpointError(f"small_model(vocabulary={vocabulary}): expected 258 or more, 256 of them the bytes.")
    if width % heads:
        raise CheckpointError(f"small_model(width={width}, heads={heads}): expected a multiple of the heads.")
    sizes = dict(task=task, vocabulary=vocabulary, width=width, layers=layers, heads=heads, positions=positions)
    key = {"made": "small model", "texts": hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest(), "seed": seed}

    def make(to: Path) -> None:
        words = _tokenizer(texts, vocabulary)
        ids: dict[str, Any] = dict(vocab_size=len(words))
        ids |= dict(eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id)
        if task == "causal":
            ids |= dict(n_embd=width, n_layer=layers, n_head=heads, n_positions=positions)
            ids |= dict(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=words.eos_token_id)
            _save_untrained(transformers.GPT2LMHeadModel, GPT2Config(**ids), words, to, seed)
        else:
            ids |= dict(d_model=width, d_kv=width // heads, d_ff=4 * width, num_layers=layers, num_heads=heads)
            ids |= dict(dropout_rate=0.0, decoder_start_token_id=words.pad_token_id)
            _save_untrained(transformers.T5ForConditionalGeneration, T5Config(**ids), words, to, seed)

    return _once(key | sizes, make, folder)


def untrained(like: str | Path, seed: int = 0, *, folder: str | Path = "out/fine_tunes") -> Path:
    """A model of the architecture and with the tokenizer of another, its weights random again: nothing is pre-trained.

    Args:
        like: any name that `assets.resolve` knows, but no adapter.
        seed: of the weights.
        folder: where it is kept, in a folder of its own that a rerun finds again.

    Returns:
        The model's folder.

    Raises:
        AssetError: the name leads nowhere.
        CheckpointError: transformers has no class of the name that its configuration gives.

    Example:
        >>> import tempfile
        >>> keep, sizes = tempfile.mkdtemp(), dict(vocabulary=258, width=8, layers=1, heads=1)
        >>> one = small_model(["a film"], **sizes, folder=keep)
        >>> other = untrained(one, seed=1, folder=keep)
        >>> other != one, other == untrained(one, seed=1, folder=keep)  # found again
        (True, True)
    """
    whole, call = model_folder(like), f"untrained(like={str(like)!r})"
    config = load_pretrained(AutoConfig, whole, call)
    name = (config.architectures or ["no class"])[0]
    if not hasattr(transformers, name):
        raise CheckpointError(
            f"{call}: its config.json names {name}, which transformers does not have.\n"
            "Save the model anew with save_pretrained."
        )
    words = load_pretrained(AutoTokenizer, whole, call)
    key = {"made": "untrained", "like": _small_files(whole), "seed": seed}
    return _once(key, lambda to: _save_untrained(getattr(transformers, name), config, words, to, seed), folder)


def _once(key: dict, make: Callable[[Path], Any], folder: str | Path) -> Path:
    """The folder of a key, made or found."""
    name = "blank-" + hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    to, mark = (assets.place(folder) / name).absolute(), "config.json"
    if not (to / mark).is_file():
        with disk_errors(CheckpointError, f"{key['made']}(folder={str(folder)!r})", to):
            with atomic_folder(to, keep=mark) as work:
                make(work)
    return to


def _tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    rules: dict[str, Any] = dict(vocab_size=vocabulary, special_tokens=[PADDING, END], initial_alphabet=letters)
    raw.train_from_iterator(texts, trainers.BpeTrainer(**rules, show_progress=False))
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=END, pad_token=PADDING)


def _save_untrained(kind: type, config: Any, words: Any, folder: Path, seed: int) -> None:
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        kind(config).save_pretrained(folder)
        words.save_pretrained(folder)


def _small_files(folder: Path) -> str:
    """Hash of the JSON and text files of a model's folder: configuration and tokenizer."""
    digest = hashlib.sha256()
    for file in sorted(file for file in folder.iterdir() if file.suffix in (".json", ".txt", ".model")):
        if file.name != "training.json":  # it has times in it
            digest.update(f"{file.name}\n".encode() + file.read_bytes())
    return digest.hexdigest()
