"""Every causal architecture of transformers as a tiny model, made from its configuration with its sizes shrunk."""

import copy
import dataclasses
from functools import cached_property
from pathlib import Path
from typing import Any

import tiny_models as tiny
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

import lerpnb as ln
from lerpnb.errors import LerpError
from lerpnb.generation.batched_line import BatchedLine, unsupported_reason
from lerpnb.generation.decoder import Decoder

NAMES = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)

# A field's size, wherever a configuration has such a field with a number; an earlier line wins.
_SIZES = """
vocab_size unpadded_vocab_size vocab_size_per_layer_input: 100
max_position_embeddings n_positions n_ctx max_seq_len context_length max_target_positions: 128
num_hidden_layers n_layer n_layers num_layers decoder_layers encoder_layers num_encoder_layers num_decoder_layers: 4
depth: 1
hidden_size d_model n_embd emb_dim dim embedding_size input_embedding_size output_embedding_size out_hidden_size: 32
backbone_hidden_size dim_model_base pronunciation_embed_dim shape_embed_dim lru_width: 32
intermediate_size ffn_dim d_inner dff dim_ff ffn_hidden_size decoder_ffn_dim encoder_ffn_dim n_inner: 48
intermediate_size_mlp feed_forward_size expert_ffn_hidden_size dense_intermediate_size shared_intermediate_size: 48
moe_intermediate_size shared_expert_intermediate_size shared_experts_intermediate_size prompt_mid_dim: 48
moe_shared_expert_intermediate_size: 48
num_attention_heads n_head n_heads num_heads decoder_attention_heads num_decoder_attention_heads: 4
encoder_attention_heads num_encoder_attention_heads swa_num_attention_heads mamba_num_heads linear_num_heads: 4
mamba_n_heads linear_num_value_heads: 4
num_key_value_heads swa_num_key_value_heads num_kv_heads linear_num_key_heads n_mamba_heads n_groups: 2
head_dim dim_head swa_head_dim kv_channels v_head_dim attention_head_size qk_nope_head_dim qk_rope_head_dim: 8
linear_head_dim linear_key_head_dim linear_value_head_dim index_head_dim global_head_dim: 8
mamba_d_state state_size ssm_state_size rotary_dim chunk_size mamba_chunk_size mamba_head_dim rel_extent: 8
q_lora_rank kv_lora_rank o_lora_rank laurel_rank hc_lowrank adapter_rank gated_norm_rank router_hidden_size: 8
hidden_size_per_layer_input prompt_length ffn_round_up_to_multiple_of: 8
sliding_window sliding_window_size local_attention window_size attention_window_size: 6
num_experts num_local_experts n_routed_experts moe_num_experts: 4
o_groups zero_expert_num n_group num_experts_per_tok moe_k moe_topk: 2
num_kv_shared_layers first_k_dense_replace topk_group: 1
pronunciation_vocab_size shape_vocab_size ngram_vocab_size_base encoder_hash_byte_group_vocab: 100
image_size patch_size: 16
attention_chunk_size index_n_heads index_topk index_topk_blocks index_block_size block_size: 16
"""
_LINES = [line.split(": ") for line in _SIZES.strip().splitlines()]
SIZES = {name: int(size) for names, size in _LINES for name in names.split()}
EVEN_WHERE_NONE = ("num_key_value_heads", "head_dim", "num_experts_per_tok")

# What single kinds of configuration need beside or instead.
FULL = {"num_key_value_heads": 4}
SHARED = {"layer_types": ["sliding_attention", "full_attention"] * 2, "num_kv_shared_layers": 2}
LINEAR = {"layer_types": ["linear_attention", "full_attention"] * 2}
SPECIAL: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("axk1", "axk2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite", "glm_moe_dsa", "minicpm3"), FULL),
    **dict.fromkeys(("youtu", "deepseek_v2", "longcat_flash"), FULL),
    **dict.fromkeys(("gemma3n_text", "gemma4_text", "gemma4_unified_text"), SHARED),
    "bailing_hybrid": {"layer_group_size": 2, **FULL},
    "bamba": {"mamba_d_head": 16, "attn_layer_indices": [1, 3], "mamba_n_groups": 1},
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8.0},
        "ffn_config": {"hidden_size": 32, "ffn_hidden_size": 48},
    },
    "dots3_note_text": FULL
    | {f"swa_{name}": 4 for name in ("num_attention_heads", "num_key_value_heads")}
    | {f"swa_{name}": 8 for name in ("q_lora_rank", "kv_lora_rank", "v_head_dim", "qk_nope_head_dim")}
    | {"swa_head_dim": 16},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1},
    "falcon_h1": {"mamba_d_ssm": 64, "mamba_d_head": 16},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2, "mamba_d_head": 16},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "kimi_linear": LINEAR | FULL,
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "mamba2": {"head_dim": 16},
    "reformer": {"attn_layers": ["local"] * 2, "axial_pos_embds": False},
    "qwen4_exp_text": {
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": 16,
        "indexer_compress_ratio": 4,
    },
    "xlstm": {"hidden_size": 128},
    "zamba": {"layers_block_type": ["linear_attention", "hybrid"] * 2},
    "zamba2": {"layers_block_type": ["linear_attention", "hybrid"] * 2},
    "xmod": {"default_language": "en_XX"},
    "zaya": {"num_experts_per_tok": 1},
}


# No tiny model here, and why.
NOT_BUILT = {
    "blt": "its cache asks for a field that its configuration lacks",
    "dots3_note": "its layers cannot be fewer; dots3_note_text is the same class",
    "gemma3n": "needs timm",
    "gemma4_assistant": "reads another model's cache",
    "gemma4_unified_assistant": "reads another model's cache",
    "musicgen": "AutoModelForCausalLM makes none from its configuration",
    "musicgen_melody": "AutoModelForCausalLM makes none from its configuration",
}
NOT_CAUSAL = ("cpmant", "prophetnet", "xlm", "xlnet")  # they read a text in both directions: no loss, no texts


def model(name: str, seed: int = 0) -> PreTrainedModel:
    """The architecture's tiny model, with random weights, every parameter moved."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = tiny.moved(AutoModelForCausalLM.from_config(configuration(CONFIG_MAPPING[name])), seed, 0.2).eval()
    for module in made.modules():  # zero in every trained model, and transformers loads it so
        if isinstance(module, torch.nn.Embedding) and module.padding_idx is not None:
            module.weight.data[module.padding_idx] = 0
    return made


def configuration(kind: Any) -> Any:
    """A configuration class's tiny configuration, with those inside it."""
    fields = {field.name: field.default for field in dataclasses.fields(kind)}
    numbers = {name for name, default in fields.items() if isinstance(default, int) or name in EVEN_WHERE_NONE}
    settings: dict[str, Any] = {name: size for name, size in SIZES.items() if name in numbers}
    tokens = {"eos_token_id": 1, "pad_token_id": 2, "bos_token_id": 2, "decoder_start_token_id": 2, "is_decoder": True}
    settings |= {name: value for name, value in tokens.items() if name in fields}
    special = SPECIAL.get(kind.model_type, {})
    if kind.sub_configs and not set(kind.sub_configs) <= set(special):
        inside = {name: getattr(kind(), name) for name in kind.sub_configs}
        settings |= {name: configuration(type(at)) for name, at in inside.items() if isinstance(at, PretrainedConfig)}
    return kind(**settings | special)


N_TOKENS = 6
PROMPTS = ("the film", "a warm, funny and quietly sad story about", "nobody")
GREEDY = ln.Continuations(PROMPTS, n_samples=1, max_new_tokens=N_TOKENS, temperature=0)
LONG = dataclasses.replace(GREEDY, prompts=PROMPTS[1:2], n_samples=2)
TEXTS = tuple(tiny.TEXTS[:3])


class Recorder(Decoder):
    """Keeps the logits of every step, (rows, vocabulary)."""

    def run(self) -> "Recorder":
        self.logits: list[torch.Tensor] = []
        for _ in self:
            pass
        return self

    def _draw(self, logits: torch.Tensor, *rest: Any) -> torch.Tensor:
        self.logits.append(logits.float())
        return super()._draw(logits, *rest)


class Examination:
    """One architecture: two of its models, the line between them, and whether lerpnb gives what transformers gives.

    Each check returns None where it does, or says what differs; it raises a `LerpError` where lerpnb refuses.
    """

    def __init__(self, name: str, folder: Path):
        self.name, self.folder, self.tokenizer = name, folder, tiny.tokenizer()
        with torch.inference_mode():
            self.ends = model(name), model(name, 1)
            logits = self.ends[0](input_ids=self.ids(TEXTS[0])).logits
            if logits.shape[:2] != self.ids(TEXTS[0]).shape or not logits.isfinite().all():
                raise ValueError(f"logits of shape {tuple(logits.shape)}")

    def ids(self, text: str) -> torch.Tensor:
        return torch.tensor([self.tokenizer(text)["input_ids"]])

    @cached_property
    def line(self) -> ln.Line:
        """Loaded from folders that transformers wrote."""
        folders = [self.folder / role for role in ("minus", "plus")]
        for end, to in zip(self.ends, folders, strict=True):
            end.save_pretrained(to)
            self.tokenizer.save_pretrained(to)
        return ln.Line(*folders, device="cpu")

    @cached_property
    def middle(self) -> PreTrainedModel:
        """theta(0.5) without lerpnb."""
        middle = copy.deepcopy(self.ends[0])
        with torch.no_grad():
            for mixed, other in zip(middle.parameters(), self.ends[1].parameters(), strict=True):
                mixed.copy_((mixed.double() + other.double()) / 2)
        return middle

    def loading(self) -> str | None:
        sizes = self.line.minus.n_parameters, sum(parameter.numel() for parameter in self.ends[0].parameters())
        return None if sizes[0] == sizes[1] else f"{sizes[0]} parameters instead of {sizes[1]}"

    def ends_bit_for_bit(self) -> str | None:
        for alpha, end in enumerate(self.ends):
            if difference := self._unlike(self.line.at(alpha), end):
                return f"at {alpha} {difference}"
        return None

    def loss(self) -> str | None:
        probe = ln.Loss(ln.Corpus(TEXTS, (0,) * len(TEXTS), ("x",), "x"))
        found = probe.measure(self.line.at(0.5), self.tokenizer)["loss/x"]
        for text, ours in zip(TEXTS, found.values, strict=True):
            with torch.inference_mode():
                logits = self.middle(input_ids=self.ids(text)).logits[0, :-1].double()
            theirs = torch.nn.functional.cross_entropy(logits, self.ids(text)[0, 1:]).item()
            if not abs(ours - theirs) <= 1e-5 * theirs:
                return f"{ours:.6f} instead of {theirs:.6f}"
        return None

    def greedy_texts(self) -> str | None:
        """The tokens of three prompts side by side, and every step's logits of one of them."""
        options: dict[str, Any] = {"do_sample": False, "max_new_tokens": N_TOKENS}
        options |= {"output_logits": True, "return_dict_in_generate": True}
        self.middle.generation_config.forced_eos_token_id = None
        model = self.line.at(0.5)
        for (_, i, _), ours in Recorder(model, self.tokenizer, GREEDY).run().tokens.items():
            ids = self.ids(PROMPTS[i])
            theirs = self.middle.generate(ids, attention_mask=torch.ones_like(ids), **options)
            tokens = theirs.sequences[0, ids.shape[1] :].tolist()
            tokens = tokens[: tokens.index(1)] if 1 in tokens else tokens
            if ours != tokens:
                return f"{ours} instead of {tokens}"
            if PROMPTS[i] in LONG.prompts:
                steps = Recorder(model, self.tokenizer, LONG).run().logits
                if off := _apart([step[0] for step in steps], [step[0] for step in theirs.logits]):
                    return f"logits are {off:.1e} off"
        return None

    def batched_alphas(self) -> str | None:
        """The same of three alphas, against one alpha at a time."""
        if reason := unsupported_reason(self.line):
            raise LerpError(reason)
        alphas = (0.0, 0.5, 1.0)
        together = Recorder(BatchedLine(self.line), self.tokenizer, GREEDY, alphas).run()
        steps = Recorder(BatchedLine(self.line), self.tokenizer, LONG, alphas).run().logits
        for row, alpha in enumerate(alphas):
            alone = Recorder(self.line.at(alpha), self.tokenizer, GREEDY).run()
            for (_, i, draw), tokens in alone.tokens.items():
                if together.tokens[alpha, i, draw] != tokens:
                    return f"at {alpha} {together.tokens[alpha, i, draw]} instead of {tokens}"
            single = Recorder(self.line.at(alpha), self.tokenizer, LONG).run().logits
            whole = [(a[2 * row], b[0]) for a, b in zip(steps, single, strict=False) if len(a) == 2 * len(alphas)]
            if off := _apart(*zip(*whole, strict=True)):
                return f"at {alpha} logits are {off:.1e} off"
        return None

    def saving(self) -> str | None:
        to = self.line.save(0.5, self.folder / "saved")
        again = type(self.ends[0]).from_pretrained(to, dtype=torch.float32)
        return self._unlike(again, self.line.at(0.5)) or self._unlike(ln.Checkpoint.load(to).model, again)

    def _unlike(self, a: PreTrainedModel, b: PreTrainedModel) -> str | None:
        """In what two models differ, if they do."""
        named, others = ({**dict(end.named_parameters()), **dict(end.named_buffers())} for end in (a, b))
        if odd := [name for name in named | others if name not in named or name not in others]:
            return f"{odd[0]} is in one of them only"
        if odd := [name for name, tensor in named.items() if not torch.equal(tensor, others[name])]:
            return f"{odd[0]} differs"
        with torch.inference_mode():  # kernels round by where memory lies
            logits, expected = (end.eval()(input_ids=self.ids(TEXTS[0])).logits for end in (a, b))
        return (
            None if torch.allclose(logits, expected, rtol=0, atol=1e-5 * expected.abs().max()) else "the logits differ"
        )


def _apart(ours: Any, theirs: Any) -> float:
    """How far logits lie apart as a share of the largest; 0 within rounding."""
    ours, theirs = torch.stack(list(ours)), torch.stack(list(theirs))[: len(ours)].float()
    off = ((ours - theirs[: len(ours)]).abs().max() / theirs.abs().max()).item()
    return off if not off < 1e-4 else 0.0


CHECKS: tuple[Any, ...] = (
    Examination.loading,
    Examination.ends_bit_for_bit,
    Examination.loss,
    Examination.greedy_texts,
    Examination.batched_alphas,
    Examination.saving,
)


def examine(name: str, folder: Path) -> dict[str, str]:
    """What each check says of an architecture: "right", "refused: ...", "wrong: ..."; or why it is not built."""
    try:
        examination = Examination(name, folder)
    except Exception as error:
        return {"not built": NOT_BUILT.get(name, f"{type(error).__name__}: {error}")}
    row: dict[str, str] = {}
    for check in CHECKS:
        try:
            difference = check(examination)
            row[check.__name__] = f"wrong: {difference}" if difference else "right"
        except LerpError as error:
            row[check.__name__] = f"refused: {error}"
        except Exception as error:
            row[check.__name__] = f"wrong: {type(error).__name__}: {error}"
    return row
