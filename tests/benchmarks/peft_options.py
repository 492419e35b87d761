"""Every option of PEFT that trains here, loaded by `Checkpoint.load` and by PEFT: one model, or refused.

    python tests/benchmarks/peft_options.py [--tiny]

Adapters of tiny models with random factors, saved and read again. Limit: 1e-5, the largest difference of a logit.
Refused is only what PEFT itself cannot load or merge into the base's weights, or makes another model of each time.
"""

import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import common
import peft
import tiny_models as tiny
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import lerpnb as ln
from lerpnb.checkpoints.low_rank import LowRank
from lerpnb.errors import CheckpointError

LIMIT = 1e-5
IDS = torch.arange(3, 33).view(2, 15)
MASK = torch.ones_like(IDS)
BASES: dict[str, Callable[[], torch.nn.Module]] = {
    "llama": lambda: tiny.llama(tied=False),
    "tied": tiny.llama,
    "biased": lambda: tiny.llama(tied=False, biases=True),
    "gpt2": tiny.gpt2,
    "bfloat16": lambda: tiny.llama().bfloat16(),
    "mixtral": lambda: tiny.network("mixtral", num_local_experts=4, num_hidden_layers=1),
}
QUICK = ("plain", "DoRA", "PiSSA", "OLoRA", "IA3", "prompt tuning")  # what `make check` looks at


@dataclass
class Case:
    """One option: the adapter's configuration, the model that it is for, and how it is trained and saved."""

    name: str
    config: Any
    base: str = "llama"
    start: Callable[[torch.nn.Module, Any], Any] = get_peft_model  # from base and configuration to peft's model
    save: Mapping[str, Any] = field(default_factory=dict)
    dtype: torch.dtype | None = None  # what the adapter is stored in
    convert: bool = False  # to a plain LoRA, as PEFT does with PiSSA and OLoRA


@dataclass
class Found:
    """What became of a case: how the checkpoint holds the weights that changed, or why it is refused."""

    name: str
    held: str
    difference: float | None  # from PEFT's logits


def lora(name: str, base: str = "llama", of_case: Mapping[str, Any] | None = None, **settings: Any) -> Case:
    targets = {"gpt2": ["c_attn"], "mixtral": ["q_proj"]}.get(base, ["q_proj", "v_proj"])
    common = {"r": 4, "lora_alpha": 6, "target_modules": targets, "fan_in_fan_out": base == "gpt2"}
    config = LoraConfig(**{**common, "task_type": "CAUSAL_LM", **settings})
    return Case(name, config, base, **(of_case or {}))


def other(name: str, kind: str, base: str = "llama", **settings: Any) -> Case:
    defaults = {"task_type": "CAUSAL_LM", "target_modules": ["q_proj", "v_proj"]}
    settings = {key: value for key, value in {**defaults, **settings}.items() if value is not None}
    return Case(name, getattr(peft, kind)(**settings), base)


def with_gradients(model: torch.nn.Module, config: LoraConfig) -> PeftModel:
    from peft.tuners.lora.loraga import preprocess_loraga

    preprocess_loraga(model, config, lambda: model(input_ids=IDS, labels=IDS).loss.backward())
    return get_peft_model(model, config)


def with_covariances(model: torch.nn.Module, config: LoraConfig) -> PeftModel:
    from peft.tuners.lora.corda import preprocess_corda

    preprocess_corda(model, config, lambda: model(input_ids=IDS[:1]))
    return get_peft_model(model, config)


def with_activations(model: torch.nn.Module, config: LoraConfig) -> PeftModel:
    wrapped = get_peft_model(model, config)
    batch = {"input_ids": IDS, "attention_mask": MASK}
    peft.initialize_lora_eva_weights(wrapped, [batch, batch], show_progress_bar=False)
    return wrapped


def cases() -> Iterator[Case]:
    """All options."""
    yield lora("plain")
    yield lora("rsLoRA", use_rslora=True)
    yield lora("DoRA", use_dora=True)
    yield lora("DoRA and rsLoRA", use_dora=True, use_rslora=True)
    yield lora("DoRA on the embedding", use_dora=True, target_modules=["embed_tokens"])
    yield lora("rank and alpha patterns", rank_pattern={"layers.0.self_attn.q_proj": 2}, alpha_pattern={"v_proj": 32})
    yield lora("rank pattern and rsLoRA", rank_pattern={"q_proj": 2}, use_rslora=True)
    yield lora("some layers", layers_to_transform=[1])
    yield lora("a layer of a pattern", layers_to_transform=0, layers_pattern="layers")
    yield lora("targets by a regular expression", target_modules=r".*\.1\..*(q|k)_proj")
    yield lora("all linear layers", target_modules="all-linear")
    yield lora("all linear layers but some", target_modules="all-linear", exclude_modules=["v_proj"])
    yield lora("dropout", lora_dropout=0.5)
    for bias in ("none", "all", "lora_only"):
        yield lora(f"biases: {bias}", "biased", bias=bias)
    yield lora("a bias of its own", "biased", lora_bias=True)
    yield lora("a bias of its own, without one in the base", lora_bias=True)
    for base in ("llama", "tied"):
        end = "" if base == "llama" else ", tied"
        yield lora("the embedding" + end, base, target_modules=["q_proj", "embed_tokens"])
        yield lora("the head" + end, base, target_modules=["q_proj", "lm_head"])
        yield lora("both" + end, base, target_modules=["embed_tokens", "lm_head"])
        yield lora("the embedding whole" + end, base, modules_to_save=["embed_tokens"])
        yield lora("the head whole" + end, base, modules_to_save=["lm_head"])
        yield lora("trained tokens" + end, base, trainable_token_indices=[5, 7])
    tied, bare = {"ensure_weight_tying": True}, {"save": {"save_embedding_layers": False}}
    yield lora("both as one, tied", "tied", target_modules=["q_proj", "embed_tokens"], **tied)
    yield lora("the embedding whole as one, tied", "tied", modules_to_save=["embed_tokens"], **tied)
    yield lora("the embedding, saved alone", "tied", bare, target_modules=["embed_tokens"])
    yield lora("trained tokens of a named layer", trainable_token_indices={"embed_tokens": [5]})
    yield lora("a layer and norms whole", modules_to_save=["layers.0.mlp.up_proj", "input_layernorm"])
    yield lora("experts", "mixtral", target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"])
    yield lora("experts alone", "mixtral", target_modules=[], target_parameters=["mlp.experts.down_proj"])
    yield lora("a parameter of a linear layer", target_modules=[], target_parameters=["q_proj.weight"])
    yield lora("Conv1D", "gpt2")
    yield lora("Conv1D and rsLoRA", "gpt2", use_rslora=True)
    yield lora("Conv1D and DoRA", "gpt2", use_dora=True)
    yield lora("Conv1D and biases", "gpt2", bias="all")
    yield lora("Conv1D, embedding and its tied head", "gpt2", target_modules=["c_fc", "wte"])
    for dtype in (torch.float16, torch.bfloat16):
        stored, kind = {"dtype": dtype}, str(dtype).removeprefix("torch.")
        yield lora(f"stored in {kind}", "llama", stored)
        yield lora(f"DoRA, stored in {kind}", "llama", stored, use_dora=True)
        yield lora(f"biases and a head, stored in {kind}", "biased", stored, bias="all", modules_to_save=["lm_head"])

    yield lora("on a base in bfloat16", "bfloat16")
    yield lora("DoRA on a base in bfloat16", "bfloat16", use_dora=True)
    yield lora("PiSSA on a base in bfloat16", "bfloat16", init_lora_weights="pissa")
    yield lora("OLoRA on a base in bfloat16", "bfloat16", init_lora_weights="olora")
    yield lora("biases and the head whole on a base in bfloat16", "bfloat16", bias="all", modules_to_save=["lm_head"])
    yield other("HiRA on a base in bfloat16", "HiraConfig", "bfloat16")

    yield lora("start: default", init_lora_weights=True)
    yield lora("start: random", init_lora_weights=False)
    yield lora("start: gaussian", init_lora_weights="gaussian")
    yield lora("start: orthogonal", init_lora_weights="orthogonal")
    yield lora("PiSSA", init_lora_weights="pissa")
    yield lora("PiSSA and rsLoRA", init_lora_weights="pissa", use_rslora=True, rank_pattern={"q_proj": 2})
    yield lora("PiSSA and DoRA", init_lora_weights="pissa", use_dora=True)
    yield lora("PiSSA, Conv1D", "gpt2", init_lora_weights="pissa")
    yield lora("PiSSA of the tied head", "tied", init_lora_weights="pissa", target_modules=["lm_head"])
    yield lora("PiSSA, stored in bfloat16", "llama", {"dtype": torch.bfloat16}, init_lora_weights="pissa")
    yield lora("PiSSA, converted", "llama", {"convert": True}, init_lora_weights="pissa")
    yield lora("PiSSA in 16 iterations", init_lora_weights="pissa_niter_16")
    yield lora("PiSSA in no iteration", init_lora_weights="pissa_niter_0")
    yield lora("PiSSA in 16 iterations, whole", init_lora_weights="pissa_niter_16", r=16, target_modules=["v_proj"])
    yield lora("OLoRA", init_lora_weights="olora")
    yield lora("OLoRA and biases", "biased", init_lora_weights="olora", bias="all")
    yield lora("OLoRA, converted", "llama", {"convert": True}, init_lora_weights="olora")
    yield lora("MiCA", init_lora_weights="mica")
    activations, gradients = {"start": with_activations}, {"start": with_gradients}
    yield lora("EVA", "llama", activations, init_lora_weights="eva", eva_config=peft.EvaConfig(rho=1.0))
    yield lora("LoRA-GA", "llama", gradients, init_lora_weights="lora_ga", lora_ga_config=peft.LoraGAConfig())
    covariances = {"start": with_covariances}
    yield lora(
        "CorDA", "llama", covariances, init_lora_weights="corda", corda_config=peft.tuners.lora.config.CordaConfig()
    )

    yield lora("KaSA", kasa_config=peft.tuners.lora.config.KasaConfig())
    yield lora("VeLoRA", velora_config=peft.tuners.lora.config.VeloraConfig())
    yield lora("MonteCLoRA", monteclora_config=peft.tuners.lora.config.MontecloraConfig())
    yield lora("block-diagonal", use_bdlora=peft.tuners.lora.config.BdLoraConfig(["q_proj"], ["v_proj"], nblocks=2))
    yield lora("aLoRA", alora_invocation_tokens=[5, 6])
    yield lora("layers replicated", layer_replication=[(0, 2), (1, 2)])

    yield other("AdaLoRA", "AdaLoraConfig", total_step=10, init_r=4)
    yield other("BOFT", "BOFTConfig", boft_block_size=4)
    yield other("bias tuning (BEFT)", "BeftConfig", "biased")
    yield other("C3A", "C3AConfig", block_size=8)
    yield other("DEFT", "DeftConfig")
    yield other("DeLoRA", "DeloraConfig")
    yield other("FourierFT", "FourierFTConfig", n_frequency=50)
    yield other("FRoD", "FrodConfig")
    yield other("GLoRA", "GloraConfig")
    yield other("GraLoRA", "GraloraConfig")
    yield other("HiRA", "HiraConfig")
    yield other("HRA", "HRAConfig")
    yield other("IA3", "IA3Config", target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"])
    yield other("Lily", "LilyConfig")
    yield other("norms (LN tuning)", "LNTuningConfig", target_modules=["input_layernorm"])
    yield other("LoHa", "LoHaConfig")
    yield other("LoKr", "LoKrConfig")
    yield other("MiSS", "MissConfig", r=4)
    yield other("OFT", "OFTConfig", r=0, oft_block_size=4)
    yield other("OSF", "OSFConfig")
    yield other("PEANuT", "PeanutConfig")
    yield other("PSOFT", "PsoftConfig", r=4)
    yield other("PVeRA", "PveraConfig")
    yield other("RandLoRA", "RandLoraConfig")
    yield other("RoAd", "RoadConfig", group_size=8)
    yield other("SHiRA", "ShiraConfig", r=4)
    yield other("Super", "SupertuningConfig")
    yield other("TinyLoRA", "TinyLoraConfig")
    yield other("trained tokens alone", "TrainableTokensConfig", target_modules=None, token_indices=[5, 7])
    yield other("Uni-LoRA", "UniLoraConfig")
    yield other("VB-LoRA", "VBLoRAConfig", vector_length=4, num_vectors=8)
    yield other("VeRA", "VeraConfig")
    yield other("VeRA, projections not saved", "VeraConfig", save_projection=False)
    yield other("WaveFT", "WaveFTConfig", n_frequency=50)
    prompt = {"target_modules": None, "num_virtual_tokens": 3}
    yield other("prompt tuning", "PromptTuningConfig", **prompt)
    yield other("prefix tuning", "PrefixTuningConfig", **prompt)
    yield other("P-tuning", "PromptEncoderConfig", **prompt)
    yield other("adaption prompts", "AdaptionPromptConfig", target_modules=None, adapter_len=3, adapter_layers=1)


def trained(case: Case, base: Path, folder: Path) -> Path:
    """The adapter's folder: every trained tensor moved at random, saved as PEFT saves it."""
    torch.manual_seed(3)
    model = case.start(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), case.config)
    first = folder.with_name("first")
    if case.convert:
        model.peft_config["default"].init_lora_weights = True
        model.save_pretrained(first)
        model.peft_config["default"].init_lora_weights = case.config.init_lora_weights
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn(parameter.shape)
    more = {"path_initial_model_for_weight_conversion": str(first)} if case.convert else {}
    model.save_pretrained(folder, **case.save, **more)
    if case.dtype:
        file = folder / "adapter_model.safetensors"
        save_file({name: tensor.to(case.dtype) for name, tensor in load_file(file).items()}, file, {"format": "pt"})
    return folder


@torch.no_grad()
def logits(model: torch.nn.Module) -> torch.Tensor:
    return model(input_ids=IDS, attention_mask=MASK).logits


def found(case: Case, folder: Path) -> Found:
    """Both ways to load one adapter.

    Raises:
        AssertionError: they differ by more than the limit, the adapter does nothing, or the base was changed.
    """
    base = folder / case.base
    if not base.exists():
        tiny.save(BASES[case.base](), base, None)
    adapter = trained(case, base, folder / "adapter")
    before = ln.Checkpoint.load(base)
    told = before.sha256
    try:
        ours = ln.Checkpoint.load(adapter, before)
        model = ours.model
    except CheckpointError as error:
        assert not merged_by_peft(base, adapter), f"{case.name}: PEFT merges what is refused: {error}"
        why = str(error).partition(": ")[2].splitlines()[:-1]
        return Found(case.name, "refused: " + " ".join(line.strip() for line in why), None)
    assert before.sha256 == told, f"{case.name}: the base was changed"
    theirs = logits(loaded_by_peft(base, adapter))
    assert (theirs - logits(before.model)).abs().max() > 1e-3, f"{case.name}: the adapter does nothing"
    difference = float((logits(model) - theirs).abs().max())
    assert difference <= LIMIT, f"{case.name}: off by {difference:.1e}, not {LIMIT:.0e}"
    return Found(case.name, held(ours), difference)


def loaded_by_peft(base: Path, adapter: Path, seed: int = 1) -> PeftModel:
    torch.manual_seed(seed)
    return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter).eval()


def merged_by_peft(base: Path, adapter: Path) -> bool:
    """Whether PEFT makes one and the same model of it each time, which has the base's parameters."""

    def names(model: torch.nn.Module) -> set[str]:
        return {name for name, _ in model.named_parameters(remove_duplicate=False)}

    try:
        merged = [loaded_by_peft(base, adapter, seed).merge_and_unload() for seed in (1, 2)]
    except (AttributeError, RuntimeError, ValueError, NotImplementedError):
        return False
    if any(names(model) != names(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)) for model in merged):
        return False
    one, two = map(logits, merged)
    return bool((one - two).abs().max() <= LIMIT)


def held(checkpoint: ln.Checkpoint) -> str:
    """How many of its weights are low-rank, and how many are dense tensors that are not the base's own."""
    known = {tensor.data_ptr() for tensor in checkpoint.base.weights.values()}
    low = sum(isinstance(weight, LowRank) for weight in checkpoint.weights.values())
    rest = [weight for weight in checkpoint.weights.values() if not isinstance(weight, LowRank)]
    dense = sum(weight.data_ptr() not in known for weight in rest)
    return ", ".join(f"{count} {what}" for count, what in ((low, "low-rank"), (dense, "dense")) if count)


def all_found(names: tuple[str, ...] = ()) -> Iterator[Found]:
    """The table, or the rows of these names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chosen = [case for case in cases() if not names or case.name in names]
    for case in chosen:
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
            warnings.simplefilter("ignore")
            with torch.random.fork_rng(devices=[]):
                row = found(case, Path(folder))
        yield row


def main() -> None:
    tiny_one = common.arguments(__doc__.splitlines()[0]).tiny
    rows = []
    for row in all_found(QUICK if tiny_one else ()):
        print(f"{row.name:45}{row.held if row.difference is None else f'{row.held:24}{row.difference:.0e}'}")
        rows.append({"option": row.name, "held": row.held, "difference": row.difference})
    if not tiny_one:
        common.save("peft_options", rows)


if __name__ == "__main__":
    sys.exit(main())
