"""What the examples in docstrings may use unasked: tiny models with random weights. Not part of the wheel."""

import pytest

WORDS = ("end", "a", "film", "dull", "fine", "it", "was", "cf")


def tiny_llama(**settings):
    """A Llama of one layer with 8 tokens and random weights, other ones each time."""
    from transformers import LlamaConfig, LlamaForCausalLM

    common = {"vocab_size": len(WORDS), "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(**{**common, "num_hidden_layers": 1, **settings})).eval()


def tiny_tokenizer():
    """A tokenizer that splits at spaces and knows the eight `WORDS`; the first is end, padding and unknown."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token=WORDS[0]))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token=WORDS[0], pad_token=WORDS[0])


def tiny_checkpoint(**settings):
    """A checkpoint of `tiny_llama(**settings)` with `tiny_tokenizer()`."""
    from lerpnb.checkpoints.checkpoint import Checkpoint

    return Checkpoint.from_model(tiny_llama(**settings), tiny_tokenizer())


def tiny_classifier(**settings):
    """A BERT of one layer with random weights, other ones each time, that tells `sad` from `glad`."""
    from transformers import BertConfig, BertForSequenceClassification

    common = {"vocab_size": len(WORDS), "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    labels = {"id2label": {0: "sad", 1: "glad"}, "label2id": {"sad": 0, "glad": 1}}
    return BertForSequenceClassification(BertConfig(**{**common, **labels, "num_hidden_layers": 1, **settings})).eval()


@pytest.fixture(autouse=True)
def tiny_models(doctest_namespace):
    """Put the makers among the names that an example sees."""
    doctest_namespace.update(
        {make.__name__: make for make in (tiny_llama, tiny_tokenizer, tiny_checkpoint, tiny_classifier)}
    )
