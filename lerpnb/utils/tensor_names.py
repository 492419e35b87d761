"""What the name of a tensor says: its layer, its kind, its block."""

import re

KINDS = "embeddings|attention q|attention k|attention v|attention qkv|attention out|MLP|norms|head|other".split("|")

# The first that fits what follows the layer's number in a name tells its kind: Llama, Qwen, GPT-2, NeoX, OPT, T5.
RULES = {
    "norms": r"norm|\bln|layer_?norm|\bln_\w+",
    "attention qkv": r"(attn|attention).*(qkv|c_attn|query_key_value)|qkv_proj|\bWqkv",
    "attention q": r"\bq_proj|\bq_lin|\bquery\b|\bwq\b|SelfAttention\.q\b",
    "attention k": r"\bk_proj|\bk_lin|\bkey\b|\bwk\b|SelfAttention\.k\b",
    "attention v": r"\bv_proj|\bv_lin|\bvalue\b|\bwv\b|SelfAttention\.v\b",
    "attention out": r"(attn|attention).*(o_proj|out_proj|c_proj|dense|out_lin|\bwo\b)|SelfAttention\.o\b",
    "MLP": r"mlp|\bffn\b|feed_?forward|\bfc\d?\b|\bfc_|gate_proj|up_proj|down_proj|expert|DenseReluDense",
    "embeddings": r"embed|\bwte\b|\bwpe\b|position|\bshared\b",
    "head": r"lm_head|embed_out|output_projection|\bscore\b",
}

LAYER = r"\.(?:layers|h|blocks?|layer)\.(\d+)\."


def place_of(name: str) -> tuple[str, str]:
    """Layer and kind of a tensor: the layer's number, or "in" before the layers and "out" behind them.

    Example:
        >>> place_of("model.layers.3.self_attn.q_proj.weight"), place_of("transformer.h.0.attn.c_proj.bias")
        (('3', 'attention q'), ('0', 'attention out'))
        >>> place_of("model.embed_tokens.weight"), place_of("model.norm.weight"), place_of("lm_head.weight")
        (('in', 'embeddings'), ('out', 'norms'), ('out', 'head'))
    """
    layer = re.search(LAYER, f".{name}")
    inner = name[layer.end() - 1 :] if layer else name
    kind = next((kind for kind, rule in RULES.items() if re.search(rule, inner, re.I)), "other")
    return layer[1] if layer else "in" if kind == "embeddings" else "out", kind


def block_of(name: str) -> str:
    """The block that a tensor belongs to.

    Example:
        >>> [block_of(n) for n in ("model.layers.3.mlp.up_proj.weight", "model.embed_tokens.weight", "lm_head.weight")]
        ['layer 3', 'embeddings', 'rest']
    """
    if layer := re.search(LAYER, f".{name}"):
        return f"layer {layer[1]}"
    return "embeddings" if re.search(r"embed|\bwte\b|\bwpe\b", name) else "rest"
