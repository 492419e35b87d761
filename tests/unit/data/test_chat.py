"""Chats: the ids are the template's own, the texts those of transformers, and probes see the answer alone."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.data.chat import Chat, chats, thinking_length
from lerpnb.data.prompts import load_prompts
from lerpnb.errors import CorpusError, ProbeError
from lerpnb.evaluation.loop import evaluate
from lerpnb.generation.continuations import Continuations, context_ids, continued
from lerpnb.generation.sampling import sample
from lerpnb.paths.line import Line
from lerpnb.probes.answers import Answers
from lerpnb.probes.attribute import AttributeStrength
from lerpnb.probes.base import TextFunctionProbe
from lerpnb.probes.kl import KL
from lerpnb.results.curve import Curve

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }} </{{ m['role'] }}>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% if enable_thinking is defined and not enable_thinking %}"
    "<think> </think> {% endif %}{% endif %}"
)
TALK = [{"role": "user", "content": "the film"}, {"role": "assistant", "content": "was fine"}]
ASKED = [*TALK, {"role": "user", "content": "a warm and funny story"}]


@pytest.fixture
def tokenizer(tiny) -> PreTrainedTokenizerFast:
    made = tiny.tokenizer()
    made.bos_token = made.eos_token
    made.chat_template = TEMPLATE
    return made


@pytest.fixture
def model(tiny, tokenizer):
    torch.manual_seed(0)
    made = tiny.moved(tiny.llama(), 1, 0.3).eval()
    made.generation_config.eos_token_id = tokenizer.eos_token_id
    return made


@pytest.mark.parametrize("arguments", [{}, {"enable_thinking": False}])
def test_ids_are_the_templates_own(tokenizer, arguments):
    for messages, system in ((TALK[:1], ""), (ASKED, ""), (TALK[:1], "be brief")):
        [chat] = chats([messages], system, **arguments)
        given = [{"role": "system", "content": system}] * bool(system) + messages
        want = tokenizer.apply_chat_template(given, add_generation_prompt=True, return_dict=True, **arguments)
        assert context_ids(tokenizer, chat) == want["input_ids"]
        ids, start = continued(tokenizer, chat, "it is good")
        assert ids[:start] == want["input_ids"][:start] and start >= len(want["input_ids"]) - 1
        assert tokenizer.decode(ids).endswith("it is good")
    goes_on = tokenizer.apply_chat_template(TALK, continue_final_message=True, return_dict=True)["input_ids"]
    assert context_ids(tokenizer, Chat.of(TALK)) == goes_on


def test_the_likeliest_answer_is_that_of_transformers(model, tokenizer):
    prompts = [Chat.of(ASKED), Chat.of(TALK[:1]), *chats(["nobody"], "be brief")]
    frame = sample(model, tokenizer, Continuations(prompts, n_samples=1, max_new_tokens=8, temperature=0))
    for row in frame.itertuples():
        ids = torch.tensor([context_ids(tokenizer, prompts[row.prompt_id])])
        how = dict(attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=8, pad_token_id=0)
        out = model.generate(ids, **how)[0, ids.shape[1] :]
        assert row.continuation == tokenizer.decode(out, skip_special_tokens=True).lstrip()
    assert frame["n_tokens"].max() > 2
    assert frame["prompt"].tolist() == ["a warm and funny story", "the film", "nobody"]
    assert frame["n_thinking"].tolist() == [0, 0, 0] and set(frame["thinking"]) == {""}


def test_what_is_thought_is_no_part_of_the_answer(tokenizer):
    tokenizer.add_tokens(["<think>", "</think>"])
    opening, closing = tokenizer.convert_tokens_to_ids(["<think>", "</think>"])
    assert thinking_length(tokenizer, [5], [opening, 6, 7, closing, 8]) == 4
    assert thinking_length(tokenizer, [5], [opening, 6, 7]) == 3  # it never came to an end
    assert thinking_length(tokenizer, [5, opening], [6, closing, 8]) == 2  # the template opened it
    assert thinking_length(tokenizer, [5, opening], [6, 7]) == 2
    assert thinking_length(tokenizer, [5, opening, closing], [6, 7]) == 0  # it was switched off
    assert thinking_length(tokenizer, [5], [6, 7]) == 0


def test_answers_count_ends_tokens_and_thinking():
    frame = pd.DataFrame({"prompt_id": [0, 0, 1, 1], "n_tokens": [8, 4, 8, 0], "n_thinking": [8, 0, 2, 0]})
    measured = Answers(Continuations(("a", "b"), n_samples=2, max_new_tokens=8)).score(frame)[0]
    assert {name: found.value() for name, found in measured.items()} == {"ended": 0.5, "length": 5.0, "thinking": 0.5}
    assert measured["ended"].values.tolist() == [0.5, 0.5]


@pytest.mark.slow
def test_all_probes_of_texts_take_chats(tiny, tokenizer, tmp_path):
    torch.manual_seed(0)
    ends = [Checkpoint.from_model(tiny.moved(tiny.llama(), seed, 0.3), tokenizer) for seed in (1, 2)]
    config = BertConfig(
        vocab_size=100, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4
    )
    scorer = tiny.save(tiny.moved(BertForSequenceClassification(config), 1, 0.5), tmp_path / "s", tiny.tokenizer())
    prompts = [ASKED, *chats(["nobody"], "be brief")]
    settings = dict(label=1, n_samples=2, max_new_tokens=6, device="cpu")
    strength = AttributeStrength(scorer, prompts, **settings)
    texts = strength.continuations
    probes = [strength, Answers(texts), KL(texts, "minus"), TextFunctionProbe("letters", len, texts)]
    line = Line(*ends, ends[0], device="cpu")
    curve = evaluate(line, [0, 0.5, 1], probes, store=tmp_path / "store", check=False)
    again = evaluate(line, [0, 0.5, 1], probes, store=tmp_path / "store", check=False)
    assert curve.frame.drop(columns=["item_values", "item_weights"]).equals(
        again.frame.drop(columns=["item_values", "item_weights"])
    )
    assert curve.value("kl/minus")[0] == pytest.approx(0, abs=1e-6) and curve.value("kl/minus")[2] > 0
    rows = curve.samples[curve.samples["alpha"] == 1]
    alone = strength.classifier.scores(rows["continuation"].tolist(), 1)
    assert np.allclose(rows[strength.name], alone, atol=1e-6)  # of the answer alone
    assert set(rows["prompt"]) == {"a warm and funny story", "nobody"}
    assert {"ended", "length", "thinking"} < set(curve.quantities)
    assert Curve.load(curve.save(tmp_path / "kept")).samples.equals(curve.samples)
    one, other = (AttributeStrength(scorer, chats(["nobody"], x), **settings).continuations for x in ("", "be brief"))
    assert one.identity() != other.identity()


def test_a_reward_reads_the_whole_dialogue(tiny, tokenizer, tmp_path):
    from transformers import LlamaConfig, LlamaForSequenceClassification

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=100, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4, num_labels=1
    )
    config.pad_token_id = 0
    model = tiny.moved(LlamaForSequenceClassification(config), 1, 0.3)
    probe = AttributeStrength(
        tiny.save(model, tmp_path / "r", tokenizer), [ASKED], perplexity_model=False, device="cpu"
    )
    frame = pd.DataFrame({"prompt_id": [0], "prompt": ["-"], "continuation": ["it is good"]})
    whole = tokenizer.apply_chat_template([*ASKED, {"role": "assistant", "content": "it is good"}], return_dict=True)
    want = model(torch.tensor([whole["input_ids"]])).logits.item()
    assert probe.score(frame)[0]["score/r"].value() == pytest.approx(want, abs=1e-5)


def test_what_is_no_chat_is_said_before_any_work(tiny, tokenizer, model):
    for odd in ([], [{"role": "user"}], [{"role": "user", "content": ["a"]}], "text", 5):
        with pytest.raises(ProbeError, match="takes a list of messages"):
            Chat.of(odd)
    plain = tiny.tokenizer()
    plain.chat_template = None
    line = Line(Checkpoint.from_model(model, plain), Checkpoint.from_model(model, plain), device="cpu")
    probe = TextFunctionProbe("letters", len, Continuations([TALK[:1]]))
    with pytest.raises(ProbeError, match="'the film': the tokenizer has no chat template"):
        evaluate(line, [0, 1], [lambda model, tokenizer: pytest.fail("work was done"), probe], store=False)
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(ProbeError, match="its template refuses it: roles must alternate"):
        context_ids(tokenizer, Chat.of(TALK[:1]))


def test_files_of_prompts(tmp_path):
    rows = [{"messages": ASKED}, {"messages": TALK[:1]}]
    (tmp_path / "talk.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert load_prompts(2, tmp_path / "talk.jsonl") == [Chat.of(ASKED), Chat.of(TALK[:1])]
    pd.DataFrame(rows).to_parquet(tmp_path / "talk.parquet")
    assert load_prompts(None, tmp_path / "talk.parquet") == [Chat.of(ASKED), Chat.of(TALK[:1])]
    (tmp_path / "texts.jsonl").write_text('{"text": "the film"}\n{"text": "nobody"}')
    assert load_prompts(1, tmp_path / "texts.jsonl") == ["the film"]
    (tmp_path / "table.csv").write_text("id,question\n1,the film\n2,\n3,nobody\n")
    assert load_prompts(2, tmp_path / "table.csv", column="question") == ["the film", "nobody"]
    (tmp_path / "table.tsv").write_text("id\tprompt\n1\tthe film, it was\n")
    assert load_prompts(1, tmp_path / "table.tsv") == ["the film, it was"]
    (tmp_path / "lines.txt").write_text("the film\n")
    with pytest.raises(CorpusError, match="column='prompt', but a text file has a prompt a line"):
        load_prompts(1, tmp_path / "lines.txt", column="prompt")
    with pytest.raises(CorpusError, match="no column 'prompt'.\nIt has: id, question."):
        load_prompts(1, tmp_path / "table.csv")
    [chat] = load_prompts(1, tmp_path / "texts.jsonl", system="be brief", template_arguments={"enable_thinking": False})
    assert chat.messages == (("system", "be brief"), ("user", "the film")) and "false" in chat.arguments
    assert load_prompts(1, tmp_path / "texts.jsonl", chat=True) == chats(["the film"])
