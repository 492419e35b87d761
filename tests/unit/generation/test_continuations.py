"""What a text goes on from: the ids of a prompt out of a chat template are the template's own."""

import itertools

import pytest
from tokenizers import Tokenizer, models, processors
from tokenizers import pre_tokenizers as splitters
from transformers import PreTrainedTokenizerFast

from lerpnb.data.batching import token_ids
from lerpnb.generation.continuations import context_ids, continued

CHAT = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]


def words(begins: bool, ends: bool, template: str) -> PreTrainedTokenizerFast:
    """A tokenizer that puts <s> before a text and </s> after it, or does not."""
    made = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1, "</s>": 2, "hi": 3, "yes": 4}, unk_token="<unk>"))
    made.pre_tokenizer = splitters.WhitespaceSplit()
    single = " ".join(["<s>"] * begins + ["$A"] + ["</s>"] * ends)
    made.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("<s>", 1), ("</s>", 2)])
    wrapped = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    wrapped.chat_template = template
    return wrapped


TEMPLATES = {
    "begins and ends": "{{ bos_token }}{% for m in messages %} {{ m['content'] }} {{ eos_token }}{% endfor %}",
    "ends": "{% for m in messages %}{{ m['content'] }} {{ eos_token }} {% endfor %}",
    "begins": "{{ bos_token }}{% for m in messages %} {{ m['content'] }}{% endfor %}",
}


@pytest.mark.slow
@pytest.mark.parametrize(("begins", "ends"), list(itertools.product([False, True], repeat=2)))
@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("n", [1, 2])
def test_ids_are_the_templates_own(begins, ends, template, n):
    tokenizer = words(begins, ends, TEMPLATES[template])
    text = tokenizer.apply_chat_template(CHAT[:n], tokenize=False)
    own = tokenizer.apply_chat_template(CHAT[:n], tokenize=True)["input_ids"]
    if begins and "begins" not in template:
        own = [1, *own]  # the text spells none: the tokenizer begins it, as it begins every text
    assert context_ids(tokenizer, text) == own
    assert continued(tokenizer, text, " yes") == ([*own, 4], len(own))
    assert (
        token_ids(tokenizer, [text], 20)[0] == [*own, 2][: len(own) + ends]
    )  # as text to learn, it ends as its texts do


def test_a_plain_prompt_goes_on_without_an_end_of_text():
    assert context_ids(words(True, True, ""), "hi yes") == [1, 3, 4]
    assert context_ids(words(False, False, ""), "hi yes") == [3, 4]
    assert context_ids(words(False, False, ""), "</s>") == [2]
