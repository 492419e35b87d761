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
    with pytest.raises(LerpError) as caught:
        Classifier.load(name, "cpu")
    return str(caught.value)


def test_a_model_without_a_trained_head_is_refused(tiny, tmp_path):
    bare = tiny.save(BertModel(BertConfig(**SMALL)), tmp_path / "bare", tiny.tokenizer())
    assert refusal(bare) == (
        f"Classifier.load({str(bare)!r}): a BertModel, expected a sequence classifier with its head.\n"
        "Fine-tune it with notebook 01 first: task=classifier."
    )
    edit(bare, "config.json", architectures=["BertForSequenceClassification"])
    assert "classifier.weight: not in the files" in refusal(bare) and "made up at random" in refusal(bare)


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
    assert "the adapter does not fit its base" in refusal(without)
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
    reason = {"empty": "no config.json", "pickle": "only pickled weights", "damaged": "truncated or corrupt"}[kind]
    assert refusal(folder).startswith(f"Checkpoint.load({str(folder)!r}): ") and reason in refusal(folder)


def test_labels_that_do_not_exclude_each_other_are_sigmoids(scorer):
    one = Classifier.load(scorer, "cpu")
    logits = [one.model(**one.tokenizer(text, return_tensors="pt")).logits[0] for text in TEXTS]
    assert one.scores(TEXTS, 1) == pytest.approx([x.softmax(-1)[1].item() for x in logits], abs=1e-6)
    edit(scorer, "config.json", problem_type="multi_label_classification")
    several = Classifier.load(scorer, "cpu")
    assert several.scores(TEXTS, 1) == pytest.approx([x[1].sigmoid().item() for x in logits], abs=1e-6)
    assert several.identity != one.identity


@pytest.mark.slow
def test_its_hash_covers_the_tokenizer_and_not_its_use(scorer):
    fresh, used = Classifier.load(scorer, "cpu"), Classifier.load(scorer, "cpu")
    used.scores(TEXTS, 1)
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


@pytest.mark.slow
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
    assert classifier.scores(TEXTS, 1) == pytest.approx(alone, abs=1e-6)
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
    assert classifier.scores(texts, 1) == pytest.approx(alone, abs=1e-6)
    found = Accuracy(Corpus(texts, [1] * 4, ["sad", "glad"], "n")).measure(model, words)["cross-entropy/n"].values
    assert found == pytest.approx([-math.log(p) for p in alone], abs=1e-4)
    assert len({round(p, 4) for p in alone}) == 4


@pytest.mark.slow
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
    [value] = Classifier.load(tmp_path / "adapter", "cpu").scores(TEXTS[:1], 1)
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


@pytest.mark.slow
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
    assert loaded.scores([text, "no"], 1)[0] == pytest.approx(want, rel=1e-6)


@pytest.mark.slow
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
    assert classifier.scores(TEXTS, 2) == pytest.approx(want, abs=1e-6)


def test_a_text_is_cut_to_the_positions_that_the_model_has(tiny, tmp_path):
    from transformers import RobertaConfig, RobertaForSequenceClassification

    words = tiny.tokenizer()
    small = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4)
    config = RobertaConfig(vocab_size=len(words), **small, max_position_embeddings=20, pad_token_id=2)
    RobertaForSequenceClassification(config).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    classifier = Classifier.load(tmp_path, "cpu")
    assert classifier.max_length == 17  # positions 3 to 19
    assert 0 < classifier.scores([" ".join(tiny.TEXTS * 4)], 1)[0] < 1


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
    assert Classifier.load(tmp_path, "cpu").scores(texts, 1) == pytest.approx(want, abs=1e-5)


@pytest.mark.slow
def test_an_adapter_of_a_language_models_files_has_their_pooler(tiny, tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import BertForMaskedLM

    torch.manual_seed(0)
    body = BertForSequenceClassification(BertConfig(**SMALL)).bert
    base = tiny.save(body, tmp_path / "base", tiny.tokenizer())
    edit(base, "config.json", architectures=["BertForMaskedLM"])  # as bert-base-uncased, whose files have a pooler too
    state = {f"bert.{name}": tensor for name, tensor in body.state_dict().items()}
    state |= {
        n: t for n, t in BertForMaskedLM(body.config).state_dict().items() if n.startswith("cls.") and n not in state
    }
    save_file(
        {n: t.clone() for n, t in state.items() if "decoder" not in n}, base / "model.safetensors", {"format": "pt"}
    )
    whole = BertForSequenceClassification.from_pretrained(base)
    tuned = get_peft_model(whole, LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query"]))
    for parameter in filter(lambda p: p.requires_grad, tuned.parameters()):
        torch.nn.init.normal_(parameter, 0, 0.3)
    tuned.save_pretrained(tmp_path / "adapter")
    ids = tiny.tokenizer()(TEXTS[0], return_tensors="pt")
    want = tuned.eval()(**ids).logits.softmax(-1)[0, 1].item()
    assert Classifier.load(tmp_path / "adapter", "cpu").scores(TEXTS[:1], 1)[0] == pytest.approx(want, abs=1e-6)


@pytest.mark.slow
def test_an_adapter_without_a_part_that_its_base_lacks_too_is_refused(tiny, tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import BertForMaskedLM

    base = tiny.save(BertForMaskedLM(BertConfig(**SMALL)), tmp_path / "base", tiny.tokenizer())
    whole = BertForSequenceClassification.from_pretrained(base)
    get_peft_model(whole, LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query"])).save_pretrained(
        tmp_path / "it"
    )
    assert refusal(tmp_path / "it") == (
        f"Checkpoint.load({str(tmp_path / 'it')!r}): tensors that would be made up at random, as neither the adapter's "
        "files nor its base's have them.\n  bert.pooler.dense.bias\n  bert.pooler.dense.weight\n"
        "Train it with modules_to_save, or pass base=...: the classifier that it was trained on."
    )


@pytest.mark.slow
@pytest.mark.parametrize("problem", [None, "regression", "multi_label_classification"])
@pytest.mark.parametrize("n", [1, 3])
def test_scores_are_those_of_transformers_pipeline(tiny, tmp_path, n, problem):
    from transformers import pipeline

    torch.manual_seed(0)
    model = tiny.moved(BertForSequenceClassification(BertConfig(**SMALL, num_labels=n, problem_type=problem)), 1, 0.3)
    folder = tiny.save(model, tmp_path / "scorer", tiny.tokenizer())
    reader = pipeline("text-classification", model=str(folder), top_k=None)
    own = Classifier.load(folder, "cpu")
    for activation in (own.activation, "sigmoid", "none", *(["softmax"] if n > 1 else [])):
        how = {} if activation == own.activation else {"function_to_apply": activation}
        want = {found["label"]: found["score"] for found in reader([TEXTS[1]], **how)[0]}
        found = Classifier.load(folder, "cpu", activation=activation)
        assert found.scores(TEXTS, n - 1)[1] == pytest.approx(want[f"LABEL_{n - 1}"], abs=1e-6), activation
        assert (found.identity == own.identity) == (activation == own.activation)
    expected = (
        "none" if problem == "regression" else "sigmoid" if n == 1 or problem and "multi" in problem else "softmax"
    )
    assert own.activation == expected


def test_activations_that_say_nothing_are_refused(tiny, tmp_path):
    model = BertForSequenceClassification(BertConfig(**SMALL, num_labels=1))
    folder = tiny.save(model, tmp_path / "one", tiny.tokenizer())
    for activation, why in {"softmax": "softmax over one output is 1 for every text", "tanh": "unknown"}.items():
        with pytest.raises(ProbeError, match=f"activation='{activation}': {why}."):
            Classifier.load(folder, "cpu", activation=activation)
    with pytest.raises(ProbeError, match="dialogue=True, but its tokenizer has no chat template"):
        Classifier.load(folder, "cpu", dialogue=True)


def test_a_label_is_found_as_written_then_by_case_or_by_index(tiny, tmp_path, scorer):
    edit(scorer, "config.json", id2label={"0": "Good", "1": "good"}, label2id={"Good": 0, "good": 1})
    both = Classifier.load(scorer, "cpu")
    assert [both.label_index(label) for label in ("Good", "good", 0, 1)] == [0, 1, 0, 1]
    for label in ("GOOD", 2, -1, True, None):
        with pytest.raises(ProbeError, match="has no such label.\nIt has: Good, good."):
            both.label_index(label)
    edit(scorer, "config.json", id2label={"0": 1, "1": 5}, label2id={"1": 0, "5": 1})
    stars = Classifier.load(scorer, "cpu")
    assert stars.labels == ["1", "5"] and stars.label_index("5") == stars.label_index(1) == 1


TEMPLATE = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }} . {% endfor %}"


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_reward_model_reads_two_turns_through_its_template(tiny, tmp_path, side):
    torch.manual_seed(0)
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template, tokenizer.padding_side = TEMPLATE, side
    config = LlamaConfig(**SMALL, num_labels=1, pad_token_id=0, max_position_embeddings=60)
    model = tiny.moved(LlamaForSequenceClassification(config), 1, 0.3)
    reward = Classifier.load(tiny.save(model, tmp_path / "reward", tokenizer), "cpu")
    assert reward.dialogue and reward.activation == "none" and reward.max_length == 60
    pairs = [("the film", " was lovely"), ("nobody", " in this picture seems to have read it")]
    want = []
    for prompt, response in pairs:
        text = f"[user] {prompt} . [assistant] {response} . "
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        assert ids.shape[1] < 60
        want.append(model(ids).logits.item())
    assert reward.scores(pairs, 0) == pytest.approx(want, abs=1e-5)
    assert reward.scores(pairs[:1], 0) == pytest.approx(want[:1], abs=1e-5)
    long = reward.tokenized([("the film " * 30, "x")])[0]["input_ids"]
    assert len(long) == 60  # the window
