"""Classifiers: what they answer, what they are told apart by, and what cannot be one."""

import inspect
import json
import math
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    LlamaConfig,
    LlamaForSequenceClassification,
)

from lerpnb.checkpoints.devices import pick_device
from lerpnb.data.corpus import Corpus
from lerpnb.errors import CheckpointError, LerpError, ProbeError
from lerpnb.probes.accuracy import Accuracy
from lerpnb.probes.classifier import Classifier

NOT_ONE = "A classifier is what save_pretrained of such a model writes, in safetensors, with its tokenizer."
TEXTS = ["the film was lovely", "a slow and merely long thing to sit through"]
SMALL = dict(vocab_size=100, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4)


@pytest.fixture
def scorer(tiny, tmp_path) -> Path:
    torch.manual_seed(0)
    model = tiny.moved(BertForSequenceClassification(BertConfig(**SMALL)), 1, 0.3)
    return tiny.save(model, tmp_path / "scorer", tiny.tokenizer())


def edit(folder: Path, file: str, **changes) -> None:
    (folder / file).write_text(json.dumps({**json.loads((folder / file).read_text()), **changes}))


def refusal(name: Path) -> str:
    with pytest.raises(ProbeError) as caught:
        Classifier.load(name, "cpu")
    return str(caught.value)


def test_a_model_without_a_trained_head_is_refused(tiny, tmp_path):
    bare = tiny.save(BertModel(BertConfig(**SMALL), add_pooling_layer=False), tmp_path / "bare", tiny.tokenizer())
    assert refusal(bare) == (
        f"Classifier.load({str(bare)!r}): tensors that would be made up at random, as they are not in its files.\n"
        "  bert.pooler.dense.bias\n  bert.pooler.dense.weight\n  classifier.bias\n  and 1 more\n"
        "Fine-tune it with notebook 01 first."
    )


@pytest.mark.slow
def test_an_adapters_head_is_in_its_files_or_its_bases(tiny, tmp_path, scorer):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    bare = tiny.save(BertModel(BertConfig(**SMALL)), tmp_path / "bare", tiny.tokenizer())

    def adapter(base: Path, name: str, **settings) -> Path:
        model = get_peft_model(
            BertForSequenceClassification.from_pretrained(base), LoraConfig(r=2, target_modules=["query"], **settings)
        )
        model.save_pretrained(tmp_path / name)
        model.config.save_pretrained(tmp_path / name)
        return tmp_path / name

    without = adapter(bare, "without")
    assert refusal(without) == (
        f"Classifier.load({str(without)!r}): tensors that would be made up at random, as they are not in its files.\n"
        "  classifier.bias\n  classifier.weight\nFine-tune it with notebook 01 first."
    )
    Classifier.load(adapter(bare, "own", modules_to_save=["classifier"]), "cpu")
    of_base = Classifier.load(adapter(scorer, "of-base"), "cpu").model.classifier.weight
    assert torch.equal(of_base, Classifier.load(scorer, "cpu").model.classifier.weight)


@pytest.mark.parametrize("kind", ["empty", "pickle", "damaged"])
def test_what_transformers_cannot_load_is_refused_with_its_reason(tmp_path, scorer, kind):
    weights, folder = scorer / "model.safetensors", scorer
    if kind == "empty":
        (folder := tmp_path / "empty").mkdir()
    elif kind == "pickle":
        weights.rename(scorer / "pytorch_model.bin")
    else:
        weights.write_bytes(b"x" * 20)
    reason = {"empty": "config", "pickle": "model.safetensors", "damaged": "header"}[kind]
    first, second, last = refusal(folder).split("\n")
    assert first == f"Classifier.load({str(folder)!r}): transformers cannot load it as a sequence classifier."
    assert second.startswith("  ") and reason in second.lower() and last == NOT_ONE


def test_labels_that_do_not_exclude_each_other_are_sigmoids(scorer):
    one = Classifier.load(scorer, "cpu")
    logits = [one.model(**one.tokenizer(text, return_tensors="pt")).logits[0] for text in TEXTS]
    assert one.probability(TEXTS, "LABEL_1") == pytest.approx([x.softmax(-1)[1].item() for x in logits], abs=1e-6)
    edit(scorer, "config.json", problem_type="multi_label_classification")
    several = Classifier.load(scorer, "cpu")
    assert several.probability(TEXTS, "LABEL_1") == pytest.approx([x[1].sigmoid().item() for x in logits], abs=1e-6)
    assert several.identity != one.identity


def test_its_hash_covers_the_tokenizer_and_not_its_use(scorer):
    fresh, used = Classifier.load(scorer, "cpu"), Classifier.load(scorer, "cpu")
    used.probability(TEXTS, "LABEL_1")
    assert used.identity == fresh.identity
    words = json.loads((scorer / "tokenizer.json").read_text())
    edit(scorer, "tokenizer.json", model={**words["model"], "merges": words["model"]["merges"][:-1]})
    assert Classifier.load(scorer, "cpu").identity != fresh.identity


def decoder(tiny, folder: Path, pad: int | None, **tokens) -> Path:
    """A Llama that classifies, with a tokenizer that closes each text with its end-of-text token."""
    torch.manual_seed(0)
    model = LlamaForSequenceClassification(LlamaConfig(**SMALL, num_key_value_heads=2, pad_token_id=pad))
    words = tiny.tokenizer()
    words.pad_token = None
    end = ("<eos>", words.eos_token_id)
    words.backend_tokenizer.post_processor = TemplateProcessing(single="$A <eos>", special_tokens=[end])
    for role, token in tokens.items():
        setattr(words, role, token)
    return tiny.save(tiny.moved(model, 1, 0.5).eval(), folder, words)


@pytest.mark.parametrize("pad", [None, 1, 2])  # of the model; 1 ends every text, 2 is <pad>
@pytest.mark.parametrize("tokens", [{}, {"pad_token": "<pad>"}, {"pad_token": "<eos>"}, {"padding_side": "left"}])
def test_a_value_is_that_of_the_text_alone(tiny, tmp_path, pad, tokens):
    folder = decoder(tiny, tmp_path / "decoder", pad, **tokens)
    classifier = Classifier.load(folder, "cpu")
    model = LlamaForSequenceClassification.from_pretrained(folder).eval()
    words = AutoTokenizer.from_pretrained(folder)
    alone = [
        model(input_ids=torch.tensor([words(text)["input_ids"]])).logits[0].softmax(-1)[1].item() for text in TEXTS
    ]
    assert classifier.probability(TEXTS, "LABEL_1") == pytest.approx(alone, abs=1e-6)
    assert abs(alone[0] - alone[1]) > 1e-3


KINDS = {
    "XLNet": dict(vocab_size=100, d_model=32, n_layer=1, n_head=4, d_inner=48),  # reads the label at the last place
    "DistilBert": dict(vocab_size=100, dim=32, hidden_dim=48, n_layers=1, n_heads=4),  # takes no token types
    "GPT2": dict(vocab_size=100, n_embd=32, n_layer=1, n_head=4, n_positions=64),
    "Bart": dict(vocab_size=100, d_model=32, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=48, decoder_ffn_dim=48)
    | dict(encoder_attention_heads=4, decoder_attention_heads=4, eos_token_id=1),  # at its last end-of-text token
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_every_kind_reads_a_text_as_if_alone(tiny, tmp_path, kind, side):
    maker = getattr(transformers, f"{kind}ForSequenceClassification")
    torch.manual_seed(0)
    labels = dict(id2label={0: "sad", 1: "glad"}, label2id={"sad": 0, "glad": 1})
    model = tiny.moved(maker(maker.config_class(**KINDS[kind], pad_token_id=2, **labels)), 1, 0.2).eval()
    words = tiny.tokenizer()
    words.padding_side = side
    end = ("<eos>", words.eos_token_id)
    words.backend_tokenizer.post_processor = TemplateProcessing(single="$A:0 <eos>:1", special_tokens=[end])
    classifier = Classifier.load(tiny.save(model, tmp_path, words), "cpu")
    texts = [*TEXTS, "one <eos> more", "no"]
    taken = inspect.signature(model.forward).parameters
    given = [{name: x for name, x in words(t, return_tensors="pt").items() if name in taken} for t in texts]
    with torch.inference_mode():
        alone = [model(**one).logits[0].softmax(-1)[1].item() for one in given]
    assert classifier.probability(texts, "glad") == pytest.approx(alone, abs=1e-6)
    found = Accuracy(Corpus(texts, [1] * 4, ["sad", "glad"], "n")).measure(model, words)["cross-entropy/n"].values
    assert found == pytest.approx([-math.log(p) for p in alone], abs=1e-4)
    assert len({round(p, 4) for p in alone}) == 4


def test_an_adapter_that_does_not_fit_is_refused(tiny, tmp_path, scorer):
    from peft import LoraConfig, get_peft_model

    base = BertForSequenceClassification.from_pretrained(scorer)
    model = get_peft_model(
        base, LoraConfig(r=2, target_modules=["query"], task_type="SEQ_CLS", init_lora_weights=False)
    )
    model.save_pretrained(tmp_path / "adapter")
    model.config.save_pretrained(tmp_path / "adapter")
    tokens = tiny.tokenizer()(TEXTS[0], return_tensors="pt")
    expected = model.eval()(**tokens).logits.softmax(-1)[0, 1].item()
    [value] = Classifier.load(tmp_path / "adapter", "cpu").probability(TEXTS[:1], "LABEL_1")
    assert value == pytest.approx(expected, abs=1e-6)
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    renamed = {name.replace("model.bert", "model._orig_mod.bert"): t for name, t in load_file(file).items()}
    save_file(renamed, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="the adapter does not fit its base"):
        Classifier.load(tmp_path / "adapter", "cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99"])
def test_a_device_that_is_not_here_is_refused(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(LerpError) as caught:
        pick_device(name)
    assert str(caught.value) == (
        f"pick_device({name!r}): no such device on this machine.\n"
        'It has: cpu. Name one of them, or give "auto" for the first.'
    )
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")


def test_an_adapter_as_peft_saves_it_needs_no_configuration_beside_it(tiny, tmp_path, scorer):
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(0)
    settings = LoraConfig(r=4, target_modules=["query", "value"], task_type="SEQ_CLS", init_lora_weights=False)
    model = get_peft_model(AutoModelForSequenceClassification.from_pretrained(scorer), settings)
    model.save_pretrained(tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "config.json").exists()
    words = AutoTokenizer.from_pretrained(scorer)
    whole = PeftModel.from_pretrained(AutoModelForSequenceClassification.from_pretrained(scorer), tmp_path / "adapter")
    text = "the film was a quiet story"
    want = whole.eval()(**words(text, return_tensors="pt")).logits.softmax(-1)[0, 1].item()
    loaded = Classifier.load(tmp_path / "adapter", "cpu")
    assert loaded.labels == ["LABEL_0", "LABEL_1"]
    assert loaded.probability([text, "no"], "LABEL_1")[0] == pytest.approx(want, rel=1e-6)


def test_an_adapter_says_how_many_labels_its_head_has(tiny, tmp_path):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = transformers.DistilBertConfig(**KINDS["DistilBert"], pad_token_id=2)
    base, words = transformers.DistilBertModel(config), tiny.tokenizer()
    tiny.save(tiny.moved(base, 1, 0.2), tmp_path / "base", words)
    head = transformers.DistilBertForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=3)
    settings = LoraConfig(r=2, target_modules=["q_lin"], task_type="SEQ_CLS", init_lora_weights=False)
    model = get_peft_model(head, settings).eval()
    model.save_pretrained(tmp_path / "adapter")
    want = [model(torch.tensor([words(text)["input_ids"]])).logits.softmax(-1)[0, 2].item() for text in TEXTS]
    classifier = Classifier.load(tmp_path / "adapter", "cpu")
    assert len(classifier.labels) == 3
    assert classifier.probability(TEXTS, "LABEL_2") == pytest.approx(want, abs=1e-6)


def test_a_text_is_cut_to_the_positions_that_the_model_has(tiny, tmp_path):
    from transformers import RobertaConfig, RobertaForSequenceClassification

    words = tiny.tokenizer()
    small = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4)
    config = RobertaConfig(vocab_size=len(words), **small, max_position_embeddings=20, pad_token_id=2)
    RobertaForSequenceClassification(config).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    classifier = Classifier.load(tmp_path, "cpu")
    assert classifier.max_length == 17  # positions 3 to 19
    assert 0 < classifier.probability([" ".join(tiny.TEXTS * 4)], "LABEL_1")[0] < 1


def test_a_tokenizer_with_more_words_than_the_model_is_refused(tiny, tmp_path, scorer):
    from transformers import BertForSequenceClassification

    model = BertForSequenceClassification.from_pretrained(scorer)
    size = model.config.vocab_size - 10
    model.resize_token_embeddings(size)
    model.save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    assert f"the model's embedding has {size} rows" in refusal(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fnet", "nystromformer", "convbert", "yoso", "electra", "albert"])
def test_a_text_has_its_own_value_where_an_encoder_reads_padding(tiny, tmp_path, kind):
    import transformers

    words = tiny.tokenizer()
    small = dict(SMALL, vocab_size=len(words), embedding_size=32, pad_token_id=words.pad_token_id)
    torch.manual_seed(0)
    model = transformers.AutoModelForSequenceClassification.from_config(
        transformers.AutoConfig.for_model(kind, **small)
    )
    tiny.save(tiny.moved(model.eval(), 1, 0.3), tmp_path, words)
    texts = ["the film", "a quiet story that ends well and is told with care", "no"]
    whole = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    taken = {"token_type_ids"} if kind != "fnet" else {"token_type_ids", "attention_mask"}
    want = []
    for text in texts:
        given = {name: value for name, value in words(text, return_tensors="pt").items() if name not in taken}
        want.append(whole(**given).logits.softmax(-1)[0, 1].item())
    assert Classifier.load(tmp_path, "cpu").probability(texts, "LABEL_1") == pytest.approx(want, abs=1e-5)
