"""Sequence to sequence: its loss is transformers' own, and a T5 is loaded, mixed, walked and saved as any other."""

import math

import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import T5ForConditionalGeneration

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.data.batching import ended, halves
from lerpnb.data.corpus import Corpus
from lerpnb.errors import ProbeError
from lerpnb.evaluation.loop import evaluate
from lerpnb.paths.line import Line
from lerpnb.probes.seq2seq import Seq2SeqLoss
from lerpnb.training import FineTuneConfig, fine_tune


@pytest.fixture(scope="module")
def trio(tiny, tmp_path_factory):
    return tiny.trio(tiny.t5(), tmp_path_factory.mktemp("t5"))


@pytest.fixture(scope="module")
def corpus(tiny) -> Corpus:
    return Corpus(tuple(tiny.TEXTS), (0,) * len(tiny.TEXTS), ("x",), "texts")


def test_its_loss_is_that_of_transformers(tiny, corpus):
    model, words = tiny.t5(), tiny.tokenizer()
    found = Seq2SeqLoss(corpus, batch=3).measure(model, words)["loss/texts"]
    total = 0.0
    for i, text in enumerate(corpus.texts):
        source, target = (words(half)["input_ids"] + [1] for half in halves(text))
        with torch.inference_mode():
            loss = model(input_ids=torch.tensor([source]), labels=torch.tensor([target])).loss.item()
        assert found.values[i] == pytest.approx(loss, abs=1e-5) and found.weights[i] == len(target)
        total += loss * len(target)
    assert found.value() == pytest.approx(total / found.weights.sum(), abs=1e-5)


@pytest.mark.slow
def test_targets_of_ones_own_and_a_batch_of_any_size_give_the_same(tiny, corpus):
    model, words = tiny.t5(), tiny.tokenizer()
    sources, targets = zip(*map(halves, corpus.texts), strict=True)
    given = Seq2SeqLoss(Corpus(sources, corpus.labels, ("x",), "texts"), targets, batch=1).measure(model, words)
    halved = Seq2SeqLoss(corpus, batch=64).measure(model, words)
    assert given["loss/texts"].values == pytest.approx(halved["loss/texts"].values, abs=1e-5)
    assert Seq2SeqLoss(corpus, targets).identity() != Seq2SeqLoss(corpus).identity()
    few = Seq2SeqLoss(corpus).subset()
    assert len(few.pairs) == 2 and few.name == "loss/texts" and few.pairs[0] == halves(few_text(corpus))


def test_targets_are_read_as_the_tokenizer_reads_targets(tiny, corpus):
    model, words = tiny.t5(), tiny.tokenizer()

    def prefixed(prefix: str):  # a language token, as mBART's
        single = TemplateProcessing(single=f"{prefix}$A", special_tokens=[("<pad>", 2)])
        return lambda: setattr(words.backend_tokenizer, "post_processor", single)

    words._switch_to_target_mode, words._switch_to_input_mode = prefixed("<pad> "), prefixed("")
    found = Seq2SeqLoss(corpus).measure(model, words)["loss/texts"].values
    for value, text in zip(found, corpus.texts, strict=True):
        source, target = halves(text)
        labels = torch.tensor([[*words(text_target=target)["input_ids"], 1]])
        assert labels[0, 0] == 2
        with torch.inference_mode():
            loss = model(input_ids=torch.tensor([[*words(source)["input_ids"], 1]]), labels=labels).loss.item()
        assert value == pytest.approx(loss, abs=1e-5)


def few_text(corpus: Corpus) -> str:
    return min(corpus.texts, key=len)


def test_a_uniform_model_has_the_logarithm_of_its_vocabulary(tiny, corpus):
    model = tiny.t5()
    with torch.no_grad():
        model.shared.weight.zero_()  # tied: the head, too
    found = Seq2SeqLoss(corpus).measure(model, tiny.tokenizer())["loss/texts"]
    assert found.values == pytest.approx(np.full(len(corpus), math.log(tiny.VOCABULARY)), abs=1e-5)


@pytest.mark.slow
def test_a_t5_is_a_line_like_any_other(trio, corpus, tmp_path):
    line = Line(trio.minus, trio.plus, trio.base, device="cpu")
    assert line.minus.architecture == "T5ForConditionalGeneration" and line.minus.tied
    curve = evaluate(line, [0, 0.5, 1], [Seq2SeqLoss(corpus)], store=False)
    ends = [
        Seq2SeqLoss(corpus).measure(T5ForConditionalGeneration.from_pretrained(folder).eval(), line.tokenizer)
        for folder in (trio.minus, trio.plus)
    ]
    assert curve.value("loss/texts")[[0, 2]] == pytest.approx([end["loss/texts"].value() for end in ends], abs=1e-5)
    middle = torch.lerp(line.minus.tensors["shared.weight"], line.plus.tensors["shared.weight"], 0.5)
    saved = T5ForConditionalGeneration.from_pretrained(line.save(0.5, tmp_path / "model"))
    assert torch.allclose(saved.lm_head.weight, middle, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 4])
def test_a_t5_is_fine_tuned(tiny, trio, corpus, tmp_path, rank):
    recipe = FineTuneConfig(str(trio.base), task="seq2seq", rank=rank, steps=25, batch_size=8, learning_rate=0.02)
    record = fine_tune(recipe, corpus, tmp_path / "out", corpus)
    assert record["after"]["loss"] < record["before"]["loss"] - 0.5 and "accuracy" not in record["after"]
    tuned = Checkpoint.load(tmp_path / "out", base=trio.base if rank else None)
    assert Seq2SeqLoss(corpus, max_length=64).measure(tuned.model, tuned.tokenizer)[
        "loss/texts"
    ].value() == pytest.approx(record["after"]["loss"], abs=1e-3 if rank == 0 else 0.1)  # an adapter is in bfloat16


def test_what_cannot_be_measured_is_said(tiny, corpus):
    cases = [
        (lambda: Seq2SeqLoss(corpus, max_length=1), "Seq2SeqLoss(max_length): got 1.\nIt takes 2 or more."),
        (lambda: Seq2SeqLoss(corpus, batch=0), "Seq2SeqLoss(batch): got 0.\nIt takes 1 or more."),
        (
            lambda: Seq2SeqLoss(corpus, ["one"]),
            "Seq2SeqLoss(targets): 1 targets against 8 texts.\nGive one for each text.",
        ),
        (
            lambda: Seq2SeqLoss(corpus).measure(tiny.llama(), tiny.tokenizer()),
            "loss/texts: LlamaForCausalLM writes no target texts.\nMeasure it with ln.Loss.",
        ),
    ]
    words = tiny.tokenizer()
    words.eos_token = None
    cases.append(
        (
            lambda: Seq2SeqLoss(corpus).measure(tiny.t5(), words),
            "loss/texts: the tokenizer has no end-of-text token, which every target is to end with.\n"
            "Set tokenizer.eos_token to a token of its vocabulary and save it again.",
        )
    )
    for call, message in cases:
        with pytest.raises(ProbeError) as error:
            call()
        assert str(error.value) == message


def test_pairs(tiny):
    assert halves(" a  b ") == ("a", "b") and halves("onewordalone") == ("onewordalone", "")
    words = tiny.tokenizer()
    assert ended(words, ["the film", ""], 64) == [[*words("the film")["input_ids"], 1], [1]]
    assert ended(words, ["the film was a slow and lovely thing"], 3)[0] == [
        *words("the film was a slow and lovely thing")["input_ids"][:2],
        1,
    ]
