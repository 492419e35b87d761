"""Loss: transformers' own number, every text's own, chunks and batches that change nothing, heads that do more."""

import math

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma2Config, Gemma2ForCausalLM

from lerpnb.data.corpus import Corpus
from lerpnb.errors import ProbeError
from lerpnb.generation.causal import BOTH_WAYS, OWN, refuse_not_causal
from lerpnb.generation.continuations import Continuations
from lerpnb.generation.sampling import sample
from lerpnb.probes import loss as loss_module
from lerpnb.probes.accuracy import Accuracy
from lerpnb.probes.loss import Loss, head_is_last
from lerpnb.probes.seq2seq import Seq2SeqLoss

TEXTS = (
    "the film was a slow and lovely thing",
    "nobody in this picture seems to have read the script before speaking it",
    "it wants to be clever",
    "what a waste of a good cast, a good title and two good hours",
    "she carries every scene as if it weighed nothing at all",
)


@pytest.fixture
def corpus() -> Corpus:
    return Corpus(TEXTS, (0,) * 5, ("film",), "film")


@pytest.fixture(params=["tiny_llama_pair", "tiny_gpt2_pair", "tiny_untied_pair"])
def model_and_words(request):
    folder = request.getfixturevalue(request.param)[1]
    return AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def by_transformers(model, words) -> tuple[list[float], list[int]]:
    ids = [torch.tensor([words(text)["input_ids"]]) for text in TEXTS]
    with torch.inference_mode():
        return [model(input_ids=i, labels=i).loss.item() for i in ids], [i.shape[1] - 1 for i in ids]


@pytest.mark.slow
@pytest.mark.parametrize("batch_tokens", [2, 40, 4096])
def test_it_is_transformers_own_loss(model_and_words, corpus, batch_tokens, monkeypatch):
    model, words = model_and_words
    monkeypatch.setattr(loss_module, "LOGITS", 300)  # three tokens a chunk
    found = Loss(corpus, batch_tokens=batch_tokens).measure(model, words)
    values, tokens = by_transformers(model, words)
    assert np.allclose(found["loss/film"].values, values, atol=1e-5)
    assert found["loss/film"].weights.tolist() == tokens and found["loss/film"].unit == "nats/token"
    mean = np.average(values, weights=tokens)
    assert found["loss/film"].value() == pytest.approx(mean, abs=1e-5)
    assert found["perplexity/film"].value() == pytest.approx(math.exp(mean), rel=1e-5)


def test_a_head_that_does_more_than_multiply_is_noticed(corpus, tiny):
    config = Gemma2Config(
        vocab_size=100,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        final_logit_softcapping=0.5,
    )
    model, words = tiny.moved(Gemma2ForCausalLM(config), 0, 0.1).eval(), tiny.tokenizer()
    assert not head_is_last(model)
    assert np.allclose(
        Loss(corpus).measure(model, words)["loss/film"].values, by_transformers(model, words)[0], atol=1e-5
    )


def test_a_nan_weight_gives_a_nan_loss_and_not_a_number(model_and_words, corpus):
    model, words = model_and_words
    with torch.no_grad():
        model.get_output_embeddings().weight[5] = torch.nan
    assert math.isnan(Loss(corpus).measure(model, words)["loss/film"].value())


def test_logits_never_come_all_at_once(tiny_llama_pair, corpus, monkeypatch):
    model, words = (
        AutoModelForCausalLM.from_pretrained(tiny_llama_pair[0]),
        AutoTokenizer.from_pretrained(tiny_llama_pair[0]),
    )
    head_is_last(model)  # tried once a model
    monkeypatch.setattr(loss_module, "refuse_not_causal", lambda *_: None)  # on eight tokens at once
    monkeypatch.setattr(loss_module, "LOGITS", 400)
    seen = []
    model.lm_head.register_forward_hook(lambda module, args, logits: seen.append(logits.numel()))
    Loss(corpus).measure(model, words)
    assert len(seen) > 10 and max(seen) <= 400


def test_what_has_no_loss_is_said(tiny_llama_pair):
    model, words = (
        AutoModelForCausalLM.from_pretrained(tiny_llama_pair[0]),
        AutoTokenizer.from_pretrained(tiny_llama_pair[0]),
    )
    short = Corpus(("a",), (0,), ("x",), "x")
    with pytest.raises(ProbeError) as error:
        Loss(short, max_length=2).measure(model, words.__class__.from_pretrained(tiny_llama_pair[0]))
        Loss(Corpus(("the",), (0,), ("x",), "x")).measure(model, words)
    assert str(error.value).endswith("has 1 token.\nA loss needs two or more.")
    for argument in ("max_length", "batch_tokens"):
        with pytest.raises(ProbeError) as error:
            Loss(short, **{argument: 1})
        assert str(error.value) == f"Loss({argument}): got 1.\nIt takes 2 or more."


def test_one_text_more_leaves_the_others_as_they_are(model_and_words, corpus):
    model, words = model_and_words
    shorter = Corpus(TEXTS[:3], (0,) * 3, ("film",), "film")
    assert shorter.sha256 != corpus.sha256
    both = [Loss(c).measure(model, words)["loss/film"].values for c in (shorter, corpus)]
    assert np.allclose(both[0], both[1][:3], atol=1e-5)


SMALL = dict(vocab_size=100, hidden_size=32, num_hidden_layers=1, num_attention_heads=4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "settings", "way_out"),
    [
        ("BertForMaskedLM", SMALL, BOTH_WAYS),
        ("BertLMHeadModel", SMALL, BOTH_WAYS),
        ("BertForSequenceClassification", SMALL, "Measure it with ln.Accuracy."),
        ("BertModel", SMALL, OWN),
        ("BertForQuestionAnswering", SMALL, OWN),
        ("BertForMultipleChoice", SMALL, OWN),
        ("BertForTokenClassification", SMALL, OWN),
        ("LlamaModel", SMALL, OWN),
        ("XLNetLMHeadModel", dict(vocab_size=100, d_model=32, n_layer=1, n_head=4, d_inner=48), BOTH_WAYS),
        (
            "T5ForConditionalGeneration",
            dict(vocab_size=100, d_model=32, d_ff=48, num_layers=1, num_heads=4, d_kv=8),
            "Measure it with ln.probes.Seq2SeqLoss.",
        ),
    ],
)
def test_what_is_no_causal_language_model_is_refused(tiny, corpus, kind, settings, way_out):
    maker = getattr(transformers, kind)
    torch.manual_seed(0)
    model, words = tiny.moved(maker(maker.config_class(**settings)), 1).eval(), tiny.tokenizer()
    with pytest.raises(ProbeError) as error:
        Loss(corpus).measure(model, words)
    assert str(error.value) == f"loss/film: {kind} is no causal language model.\n{way_out}"
    with pytest.raises(ProbeError, match=f"{kind} is no causal language model"):
        sample(model, words, Continuations(("the film",)))
    if "Accuracy" not in way_out:
        with pytest.raises(ProbeError) as error:
            Accuracy(corpus).measure(model, words)
        assert way_out in str(error.value)
    if "Seq2Seq" not in way_out:
        with pytest.raises(ProbeError) as error:
            Seq2SeqLoss(corpus).measure(model, words)
        assert str(error.value) == f"loss/film: {kind} writes no target texts.\n{way_out}"


def test_an_encoder_as_a_decoder_is_a_causal_language_model(tiny, corpus):
    model = tiny.moved(transformers.BertLMHeadModel(transformers.BertConfig(**SMALL, is_decoder=True)), 1).eval()
    assert Loss(corpus).measure(model, tiny.tokenizer())["loss/film"].value() > 0


def test_the_end_of_a_text_is_predicted_where_it_is_appended(tiny, corpus):
    model, words = tiny.llama(), tiny.tokenizer()
    measured = Loss(corpus, append_eos=True).measure(model, words)["loss/film"]
    for text, value, weight in zip(corpus.texts, measured.values, measured.weights, strict=True):
        ids = torch.tensor([[*words(text)["input_ids"], words.eos_token_id]])
        assert value == pytest.approx(model(input_ids=ids, labels=ids).loss.item(), rel=1e-5)
        assert weight == ids.shape[1] - 1
    assert Loss(corpus, append_eos=True).identity() != Loss(corpus).identity()
    assert Loss(corpus, append_eos=True).subset().append_eos
    words.eos_token = None
    with pytest.raises(ProbeError, match="the tokenizer has no end-of-text token"):
        Loss(corpus, append_eos=True).measure(model, words)


@pytest.mark.slow
def test_what_a_model_does_to_its_logits_is_seen_where_they_are_small_too(corpus, tiny):
    """A cap shows in large logits only: whatever is measured first, each model's losses are transformers' own."""
    words, config = tiny.tokenizer(), dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, pad_token_id=2)
    config |= dict(vocab_size=len(words), num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False)
    caps = {"Gemma2": {"head_dim": 8}, "Cohere": {}, "Granite": {"logits_scaling": 3.0}, "Llama": {}}
    for kind, settings in caps.items():
        torch.manual_seed(0)
        model = getattr(transformers, f"{kind}ForCausalLM")(
            getattr(transformers, f"{kind}Config")(**config, **settings)
        ).eval()
        for scale in (1e-4, 1.0, 500.0):  # one live model, as along a line
            with torch.no_grad():
                model.lm_head.weight.normal_(0, scale, generator=torch.Generator().manual_seed(1))
            found = Loss(corpus).measure(model, words)[f"loss/{corpus.name}"].value()
            losses, weights = by_transformers(model, words)
            assert found == pytest.approx(np.average(losses, weights=weights), rel=1e-5), (kind, scale)
        assert head_is_last(model) == (kind == "Llama")


def test_nothing_is_concluded_from_weights_that_tell_nothing():
    small = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
    config = transformers.BertConfig(vocab_size=64, initializer_range=0.3, **small)
    model = transformers.BertLMHeadModel(config).eval()  # reads a text in both directions
    with torch.no_grad():
        kept = {name: value.clone() for name, value in model.state_dict().items()}
        model.cls.predictions.decoder.weight.fill_(torch.nan)
    refuse_not_causal(model, "loss")
    model.load_state_dict(kept)
    with pytest.raises(ProbeError, match="is no causal language model"):
        refuse_not_causal(model, "loss")


def test_a_tokenizer_that_was_changed_is_read_anew(tiny_llama_pair, corpus):
    model, words = (kind.from_pretrained(tiny_llama_pair[1]) for kind in (AutoModelForCausalLM, AutoTokenizer))
    probe = Loss(corpus, max_length=4)
    before = probe.measure(model, words)[probe.name].value()
    words.truncation_side = "left"
    after = probe.measure(model, words)[probe.name].value()
    assert after != before and after == Loss(corpus, max_length=4).measure(model, words)[probe.name].value()


def test_a_completion_alone_is_scored(model_and_words, corpus):
    """The mean over a text's last tokens is transformers' loss with the others' labels at -100."""
    model, words = model_and_words
    texts = tuple(text for text in TEXTS if " a " in text)
    part = Corpus(texts, (0,) * len(texts), ("film",), "film")
    found = Loss(part, completion_after=" a ").measure(model, words)["loss/film"]
    for text, value, weight in zip(texts, found.values, found.weights, strict=True):
        ids = torch.tensor([words(text)["input_ids"]])
        own = len(words(text[: text.rindex(" a ") + 2])["input_ids"])  # the space is the next token's
        labels = ids.clone()
        labels[:, :own] = -100
        assert value == pytest.approx(model(input_ids=ids, labels=labels).loss.item(), abs=1e-5)
        assert weight == ids.shape[1] - own
    assert Loss(part, completion_after=" a ").identity() != Loss(part).identity()
    assert "completion_after" not in Loss(part).identity()
