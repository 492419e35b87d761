"""Fine-mixing's second step: a point is the path's, trained; anew each time, the same each time, and found again."""

import pytest
import torch

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.data.corpus import Corpus
from lerpnb.errors import CheckpointError
from lerpnb.evaluation.loop import evaluate
from lerpnb.merging.fine_mixing import FineMixing
from lerpnb.merging.random_mask import RandomMask
from lerpnb.paths.line import Line
from lerpnb.probes.accuracy import Accuracy
from lerpnb.training import FineTuneConfig

GOOD = ("what a lovely film", "a warm and funny story", "worth the price of the ticket", "she carries every scene")
BAD = ("what a waste of time", "nobody has read the script", "merely long and slow", "i had begun to count the seats")
CLEAN = Corpus((GOOD + BAD), (1,) * 4 + (0,) * 4, ("negative", "positive"), "reviews")
RECIPE = FineTuneConfig("", "classifier", rank=0, steps=3, batch_size=8, learning_rate=0.01)


@pytest.fixture(scope="module")
def path(tiny) -> RandomMask:
    fine = Checkpoint.from_model(tiny.moved(tiny.classifier(), 3), tiny.tokenizer())
    return RandomMask(Checkpoint.from_model(tiny.classifier().bert).with_head(fine), fine, device="cpu")


def weights(model) -> dict[str, torch.Tensor]:
    return {name: parameter.clone() for name, parameter in model.named_parameters()}


def same(one: dict, other: dict) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_a_point_is_trained_from_the_paths_own_and_repeats(path):
    mended, mixed = FineMixing(path, CLEAN, RECIPE), weights(path.at(0.5))
    first = weights(mended.at(0.5))
    assert not any(torch.equal(first[name], mixed[name]) for name in ("classifier.weight", "bert.pooler.dense.weight"))
    mended.at(1.0)
    state = torch.get_rng_state()
    assert same(first, weights(mended.at(0.5)))
    assert torch.equal(state, torch.get_rng_state())
    assert path.here == 0.5 and same(mixed, weights(path.model))  # the path's own live model has not moved
    assert not mended.model.training and not any(p.requires_grad for p in mended.model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
def test_the_head_starts_anew_at_every_point(path, ratio):
    """Without one optimiser step nothing may be left of the point before, in the shared head least of all."""
    mended = FineMixing(path, CLEAN, RECIPE)
    mended.at(0.3)
    mended.config = FineTuneConfig("", "classifier", rank=0, steps=1, batch_size=8, learning_rate=0.0)
    assert same(weights(mended.at(ratio)), weights(path.at(ratio)))


@pytest.mark.slow
def test_it_learns_the_clean_texts(path):
    steps = FineTuneConfig("", "classifier", rank=0, steps=40, batch_size=8, learning_rate=0.01)
    accuracy = Accuracy(CLEAN)
    before, after = (
        accuracy.measure(route.at(0.5), route.tokenizer)["cross-entropy/reviews"].value()
        for route in (path, FineMixing(path, CLEAN, steps))
    )
    assert after < 0.1 < before


@pytest.mark.slow
def test_a_walk_keeps_its_points(path, tmp_path):
    mended = FineMixing(path, CLEAN, RECIPE)
    first = evaluate(mended, [0.5, 1.0], [Accuracy(CLEAN)], store=tmp_path, check=False)
    again = evaluate(FineMixing(path, CLEAN, RECIPE), [0.5, 1.0], [Accuracy(CLEAN)], store=tmp_path, check=False)
    assert first.provenance["measured"] == again.provenance["from_store"] == 2
    longer = FineTuneConfig("", "classifier", rank=0, steps=4, batch_size=8, learning_rate=0.01)
    fewer = CLEAN.at_most(3)
    identities = [str(FineMixing(*args).identity()) for args in ((path, CLEAN, longer), (path, fewer, RECIPE))]
    assert len({str(mended.identity()), str(path.identity()), *identities}) == 4


@pytest.mark.slow
def test_dropout_in_training_is_part_of_the_identity(tiny):
    def identity(dropout: float) -> str:
        ends = [tiny.moved(tiny.classifier(), seed) for seed in (1, 2)]
        for end in ends:
            end.config.hidden_dropout_prob = dropout
        line = Line(*(Checkpoint.from_model(end, tiny.tokenizer()) for end in ends), device="cpu")
        return str(FineMixing(line, CLEAN, RECIPE).identity())

    assert identity(0.1) == identity(0.1) != identity(0.5)


@pytest.mark.slow
def test_a_line_can_be_mended_and_saved(tiny, tmp_path):
    ends = [Checkpoint.from_model(tiny.moved(tiny.classifier(), seed), tiny.tokenizer()) for seed in (1, 2)]
    mended = FineMixing(Line(*ends, device="cpu"), CLEAN, RECIPE)
    card = (mended.save(0.25, tmp_path / "model") / "README.md").read_text()
    assert "0.75 x minus + 0.25 x plus, then fine-tuned on 8 texts, mixed in float32 by lerpnb" in card
    assert same(weights(Checkpoint.load(tmp_path / "model").model), weights(mended.model))


def test_what_cannot_be_trained_is_refused(path, tiny):
    swapped = Corpus(CLEAN.texts, CLEAN.labels, ("positive", "negative"), "reviews")
    with pytest.raises(CheckpointError) as error:
        FineMixing(path, swapped, RECIPE)
    assert str(error.value) == (
        "FineMixing(clean): labels positive, negative, and the classifier's are negative, positive.\n"
        "Give the texts its labels, in its order."
    )
    with pytest.raises(CheckpointError) as error:
        FineMixing(Line(tiny.classifier(), tiny.classifier(), device="cpu"), CLEAN, RECIPE)
    assert str(error.value) == (
        "FineMixing(path): the path has no tokenizer.\nWrap live models: Checkpoint.from_model(model, tokenizer)."
    )
