"""Chats: prompts that are messages, which a tokenizer's chat template turns into a text."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lerpnb.errors import ProbeError

# What a model thinks before its answer stands between these tokens, where its tokenizer has them.
THINKING = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<|begin_of_thought|>", "<|end_of_thought|>"))


@dataclass(frozen=True)
class Chat:
    """A prompt of messages. The tokenizer's chat template makes the text that the model continues: its ids are those of
    `tokenizer.apply_chat_template(messages, add_generation_prompt=True, **arguments)`.

    Where the last message is the assistant's, the model goes on from it (`continue_final_message=True`).

    Args:
        messages: (role, content) of each, in their order.
        arguments: the template's own, such as `{"enable_thinking": false}`, as JSON.

    Example:
        >>> Chat.of([{"role": "user", "content": "Was it fine?"}], enable_thinking=False)
        Chat(messages=(('user', 'Was it fine?'),), arguments='{"enable_thinking": false}')
    """

    messages: tuple[tuple[str, str], ...]
    arguments: str = "{}"

    @classmethod
    def of(cls, messages: Any, **arguments: Any) -> "Chat":
        """A chat from messages as Hugging Face writes them: a list of {"role": ..., "content": a text}.

        Raises:
            ProbeError: no messages, one of another form, or arguments that JSON cannot hold.
        """
        good = isinstance(messages, Sequence) and not isinstance(messages, str) and len(messages)
        for message in messages if good else ():
            if not isinstance(message, Mapping) or not all(
                isinstance(message.get(k), str) for k in ("role", "content")
            ):
                good = False
        if not good:
            raise ProbeError(
                f"Chat.of(messages): got {str(messages)[:80]!r}.\n"
                'It takes a list of messages, each {"role": "user", "content": "a text"}.'
            )
        try:
            held = json.dumps(arguments, sort_keys=True)
        except TypeError as error:
            raise ProbeError(
                f"Chat.of(arguments): {error}.\nTemplate arguments are numbers, texts and lists."
            ) from error
        return cls(tuple((message["role"], message["content"]) for message in messages), held)

    def asking(self, text: str) -> "Chat":
        """The same chat with another text as its last message."""
        return Chat((*self.messages[:-1], (self.messages[-1][0], text)), self.arguments)

    def __str__(self) -> str:
        """What a table shows: the last message that is not the system's."""
        return next((content for role, content in reversed(self.messages) if role != "system"), self.messages[-1][1])

    def render(self, tokenizer: Any, answer: str | None = None) -> str:
        """The text that the template makes: up to where the answer begins, or with the answer as the last message.

        Raises:
            ProbeError: the tokenizer has no chat template, or the template refuses the messages.
        """
        messages = [{"role": role, "content": content} for role, content in self.messages]
        if not getattr(tokenizer, "chat_template", None):
            raise ProbeError(
                f"a chat as a prompt, {str(self)[:40]!r}: the tokenizer has no chat template.\n"
                "Give texts as prompts, or set tokenizer.chat_template: base models often have none."
            )
        goes_on = messages[-1]["role"] == "assistant" and answer is None
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
        how = {"add_generation_prompt": answer is None and not goes_on, "continue_final_message": goes_on}
        try:
            return tokenizer.apply_chat_template(messages, tokenize=False, **how, **json.loads(self.arguments))
        except Exception as error:  # whatever a template raises
            raise ProbeError(f"a chat as a prompt, {str(self)[:40]!r}: its template refuses it: {error}") from error


Prompt = str | Chat


def chats(prompts: Sequence[Any], system: str = "", **arguments: Any) -> list[Chat]:
    """Chats of prompts: a text becomes the user's message; a list of messages and a `Chat` stay.

    Args:
        prompts: texts, lists of messages, or chats.
        system: the system's message, put before each that has none.
        arguments: of the template, such as `enable_thinking=False`; those of a `Chat` stand behind these.

    Raises:
        ProbeError: as `Chat.of` says.

    Example:
        >>> one, two = chats(["Was it fine?", [{"role": "user", "content": "And now?"}]], system="Be brief.")
        >>> str(two), one.messages
        ('And now?', (('system', 'Be brief.'), ('user', 'Was it fine?')))
    """
    made = []
    for prompt in prompts:
        if isinstance(prompt, str):
            prompt = [{"role": "user", "content": prompt}]
        chat = prompt if isinstance(prompt, Chat) else Chat.of(prompt)
        messages = chat.messages
        if system and messages[0][0] != "system":
            messages = (("system", system), *messages)
        of = json.dumps(arguments | json.loads(chat.arguments), sort_keys=True)
        made.append(Chat(messages, of))
    return made


def thinking_length(tokenizer: Any, prompt: Sequence[int], answer: Sequence[int]) -> int:
    """How many of an answer's first tokens are thinking, its marks included: all, where it does not come to an end.

    Args:
        prompt: the token ids before it: some templates open the thinking there.
    """
    known = tokenizer.get_vocab()
    for opening, closing in ((known.get(a), known.get(b)) for a, b in THINKING):
        if closing is None:
            continue
        if closing in answer:
            return list(answer).index(closing) + 1
        before = [token for token in prompt if token in (opening, closing)]
        if answer and (opening in answer or before[-1:] == [opening]):
            return len(answer)
    return 0
