"""Noise: tokens drawn with keyed Gumbel noise, which is the same at every alpha, in every batch, on every device."""

import hashlib

import torch

WIDTHS = (256, 4096)  # how many of the likeliest tokens are looked at, in turn, until they hold the nucleus
BITS = 52  # of a random integer: as many as a float64 below 1 holds


def draw_tokens(
    logits: torch.Tensor, keys: torch.Tensor, steps: torch.Tensor, top_p: float, temperature: float, narrow: bool = True
) -> torch.Tensor:
    """One token a row by nucleus sampling with keyed Gumbel noise.

    Args:
        logits: (rows, vocabulary), any float dtype; worked on in float32.
        keys: (rows,) int64, see `noise_key`.
        steps: (rows,) int64, the index of the token within its continuation.
        top_p: mass of the nucleus, in (0, 1].
        temperature: logits are divided by it; 0 takes the likeliest token.
        narrow: look at the likeliest tokens first, which is quicker on a CPU but asks the device which rows they serve;
            else all are sorted, and nothing is asked.

    Returns:
        (rows,) int64 token ids; -1 where a row's logits hold NaN or infinity.
    """
    logits = logits.float()
    finite = logits.amax(-1) < torch.inf  # False for NaN too
    if temperature == 0:
        return logits.argmax(-1).where(finite, -1)
    logp = torch.log_softmax(logits / temperature, -1)
    keys = keys + steps * 0x632BE59BD9B4E019
    if not narrow:
        drawn, _ = _among(*logp.sort(-1, descending=True), keys, top_p)
        return drawn.where(finite, -1)
    drawn, rows = torch.empty_like(keys), torch.arange(len(keys), device=keys.device)
    for width in (*WIDTHS, logp.shape[-1]):  # few nuclei are wide: only those pay for a long sort
        drawn[rows], held = _among(*logp[rows].topk(min(width, logp.shape[-1]), -1), keys[rows], top_p)
        rows = rows[~held & finite[rows]]
        if not len(rows):
            break
    return drawn.where(finite, -1)


def _among(
    logp: torch.Tensor, tokens: torch.Tensor, keys: torch.Tensor, top_p: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the likeliest tokens (rows, n) in falling order: a draw in each row, and whether they hold its nucleus."""
    before = logp.exp().cumsum(-1) - logp.exp()  # mass of the likelier tokens
    held = (before[:, -1] >= top_p) | logp[:, -1].isneginf()
    best = (logp.masked_fill(before >= top_p, -torch.inf) + gumbel(keys, tokens)).argmax(-1, keepdim=True)
    return tokens.gather(-1, best).squeeze(-1), held


def gumbel(keys: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Gumbel noise as a function of key and token alone, the same on every device and in every batch.

    Of keys (rows,) int64 and token ids (rows, n) int64: (rows, n) float32, -log(-log(u)) with u uniform in (0, 1).
    """
    uniform = (random_bits(keys.unsqueeze(-1), tokens).double() + 0.5) / 2**BITS
    return (-torch.log(-torch.log(uniform))).float()


def random_bits(keys: torch.Tensor | int, counters: torch.Tensor) -> torch.Tensor:
    """Random integers as a function of key and counter alone, by the SplitMix64 mixer (Steele et al. 2014).

    Of int64 keys and counters that broadcast with one another: int64, uniform in [0, 2**BITS).
    """
    x = keys + (counters + 1) * _signed(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ _right(x, shift)) * _signed(factor)
    return _right(x ^ _right(x, 31), 64 - BITS)


def noise_key(seed: int, what: str, draw: int = 0) -> int:
    """A signed 64-bit number that stands for the noise of one thing, say one continuation of a prompt."""
    digest = hashlib.sha256(f"{seed}\0{draw}\0{what}".encode()).digest()
    return int.from_bytes(digest[:8], "little", signed=True)


def _signed(bits: int) -> int:
    return bits - 2**64 if bits >= 2**63 else bits


def _right(x: torch.Tensor, shift: int) -> torch.Tensor:
    """A shift to the right that fills with zeros; torch's own repeats the sign."""
    return (x >> shift) & ((1 << (64 - shift)) - 1)
