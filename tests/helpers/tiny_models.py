"""Tiny random models, tokenizers and adapters, made at test time.

Every parameter, norms and biases too, is moved away from its default by seeded noise: at default initialisation a
test passes that skips all the norms.
"""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

VOCABULARY = 100
TEXTS = [
    "the film was a slow and lovely thing to sit through on a wet evening",
    "nobody in this picture seems to have read the script before speaking it",
    "a warm, funny and quietly sad story about two brothers and their boat",
    "it wants to be clever and ends up being merely long",
    "the music alone is worth the price of the ticket",
    "what a waste of a good cast, a good title and two good hours",
    "she carries every scene as if it weighed nothing at all",
    "by the third explosion i had begun to count the seats",
]


class Trio(NamedTuple):
    """Three folders: a base and two fine-tunes of it."""

    base: Path
    minus: Path
    plus: Path


def tokenizer(texts: list[str] = TEXTS, size: int = VOCABULARY) -> PreTrainedTokenizerFast:
    """A byte-pair tokenizer trained on a few sentences."""
    raw = Tokenizer(models.BPE(unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    raw.decoder = decoders.Metaspace()
    special = ["<unk>", "<eos>", "<pad>"]
    raw.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False))
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>", eos_token="<eos>", pad_token="<pad>")


def llama(seed: int = 0, tied: bool = True, vocabulary: int = VOCABULARY, biases: bool = False) -> LlamaForCausalLM:
    """A Llama of two layers, with grouped-query attention, its head tied to its embedding or not."""
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=tied,
        attention_bias=biases,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=2,
    )
    return _made(LlamaForCausalLM, config, seed)


def gpt2(seed: int = 0) -> GPT2LMHeadModel:
    """A GPT-2 of two layers: Conv1D weights (transposed), biases everywhere, a tied head."""
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=128, n_embd=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=1
    )
    return _made(GPT2LMHeadModel, config, seed)


def t5(seed: int = 0) -> T5ForConditionalGeneration:
    """A T5 of two layers a side, its head tied to both embeddings, every parameter moved."""
    sizes = dict(d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4)
    config = T5Config(
        vocab_size=VOCABULARY, eos_token_id=1, pad_token_id=2, decoder_start_token_id=2, dropout_rate=0.0, **sizes
    )
    return _made(T5ForConditionalGeneration, config, seed)


# Settings by which one small network of each kind is made; what is not named here is `network`'s.
KINDS: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 6},
    "qwen2": {},
    "qwen3": {"head_dim": 8},
    "gemma": {"head_dim": 8},
    "gemma2": {"head_dim": 8, "sliding_window": 6},
    "gemma3_text": {"head_dim": 8, "sliding_window": 6},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 16},
    "gpt_neox": {},
    "phi": {"qk_layernorm": True},
    "phi3": {},
    "falcon": {},
}


def network(kind: str, seed: int = 0, **settings: Any) -> PreTrainedModel:
    """A random causal language model of two layers of any kind that transformers knows, every parameter moved."""
    common = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "max_position_embeddings": 128}
    common |= {"num_attention_heads": 4, "num_key_value_heads": 4 if kind in ("opt", "gpt_neox") else 2}
    common |= {"vocab_size": VOCABULARY, "bos_token_id": None, "eos_token_id": 1, "pad_token_id": 2}
    config = AutoConfig.for_model(kind, **{**({} if kind == "gpt2" else common), **KINDS.get(kind, {}), **settings})
    config.vocab_size, config.eos_token_id = VOCABULARY, 1
    return _made(AutoModelForCausalLM.from_config, config, seed)


def classifier(labels: tuple[str, str] = ("negative", "positive")) -> BertForSequenceClassification:
    """A random BERT of one layer that tells two labels apart, somehow."""
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=4,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertForSequenceClassification(config)
    return moved(model, 1, 0.3).eval()


def _made(kind: Callable[[Any], PreTrainedModel], config: Any, seed: int) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = kind(config)
    return moved(model, seed, 0.1).eval()


def moved(model: PreTrainedModel, seed: int, size: float = 0.05) -> PreTrainedModel:
    """A copy of the model with noise on every parameter, as a fine-tune of it."""
    model = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += size * torch.randn(parameter.shape, generator=generator)
    return model


def save(
    model: PreTrainedModel,
    folder: Path,
    tokenizer: PreTrainedTokenizerFast | None,
    dtype: torch.dtype | None = None,
    max_shard_size: str = "5GB",
) -> Path:
    """The model in a folder, as save_pretrained writes it, with the tokenizer beside it."""
    model = copy.deepcopy(model).to(dtype) if dtype else model
    model.save_pretrained(folder, max_shard_size=max_shard_size)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


def trio(model: PreTrainedModel, folder: Path, dtypes: tuple[torch.dtype, torch.dtype] = (torch.float32,) * 2) -> Trio:
    """Folders of the model and of two fine-tunes of it."""
    words = tokenizer()
    ends = [moved(model, seed) for seed in (11, 12)]
    minus, plus = (
        save(end, folder / name, words, dtype) for end, name, dtype in zip(ends, ("minus", "plus"), dtypes, strict=True)
    )
    return Trio(save(model, folder / "base", words), minus, plus)


def adapter(
    base: Path,
    folder: Path,
    seed: int,
    settings: Mapping[str, Any] | None = None,
    with_embeddings: bool | Literal["auto"] = "auto",
) -> Path:
    """A PEFT LoRA adapter of a base folder, every trained tensor of it (B too, which starts at zero) random.

    Args:
        settings: what `peft.LoraConfig` takes; a rank of 4 on the attention's query and value by default.
        with_embeddings: whether peft saves the base's embeddings too; "auto" does where they are adapted.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    gpt2 = model.config.model_type == "gpt2"
    defaults = {
        "r": 4,
        "lora_alpha": 6,
        "target_modules": ["c_attn"] if gpt2 else ["q_proj", "v_proj"],
        "fan_in_fan_out": gpt2,
        "task_type": "CAUSAL_LM",
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # peft draws the down factors
        wrapped = get_peft_model(model, LoraConfig(**{**defaults, **(settings or {})}))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    wrapped.save_pretrained(folder, save_embedding_layers=with_embeddings)
    return folder


def adapter_trio(model: PreTrainedModel, folder: Path) -> Trio:
    """Folders of the model and of two adapters on it."""
    base = save(model, folder / "base", tokenizer())
    return Trio(base, *(adapter(base, folder / name, seed) for name, seed in (("minus", 21), ("plus", 22))))
