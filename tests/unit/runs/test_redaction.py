"""What is private: secrets by name and look, paths of a person's folder, and words that stay as they are."""

import base64
import html
import json
import socket
from urllib.parse import quote

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from lerpnb.runs.redaction import Redactor, hidden, is_secret, secrets_in


@pytest.fixture
def ada(monkeypatch):
    """The machine and the account of ada_q."""
    for name, value in {"HOME": "/home/ada_q", "USER": "ada_q", "LOGNAME": "ada_q"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(socket, "gethostname", lambda: "ada-laptop.example")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/home/ada_q/models/a", "~/models/a"),
        ("in /home/ada_q: x", "in ~: x"),
        ("\x1b[32m/home/ada_q/x\x1b[0m", "\x1b[32m~/x\x1b[0m"),
        ("?p=%2Fhome%2Fada_q%2Fx", "?p=~%2Fx"),
        ("%2FHOME%2FADA_Q", "~"),
        ("file:///home/ada_q/x", "file://~/x"),
        (r"a line\n/home/ada_q/x", r"a line\n~/x"),
        (r"\/home\/ada_q\/x \u002fhome\u002f", r"~\/x \u002fhome\u002f"),
        (r"\u003d\u002fhome\u002fada_q", r"\u003d~"),
        ("&quot;/home/ada_q&quot; &#x2F;home", "&quot;~&quot; &#x2F;home"),
        ("file:///scratch/ada_q/x", "file:///scratch/user/x"),
        ("file%3A%2F%2F%2Fscratch%2Fada_q", "file%3A%2F%2F%2Fscratch%2Fuser"),
        (r"a line\n/scratch/a%20b/ada_q/x", r"a line\n/scratch/a%20b/user/x"),
        ("/scratch/ada_q/x", "/scratch/user/x"),
        ("%2Fscratch%2FADA_Q%2Fx", "%2Fscratch%2Fuser%2Fx"),
        ("/net/ada-laptop/x", "/net/host/x"),
        *((same, same) for same in ("/home/ada_quist/x", "/home/ada_q.old", "canada_q ada", "by ada_q", "ada-laptop")),
        *(
            (same, same)
            for same in (
                "https%3A%2F%2Fhub.org%2Fada_q%2Fmodel",
                "https://hub.org/ada_q/model",
                "ada_q/model",
                "/scratch/ada_q2",
            )
        ),
    ],
)
def test_whole_paths_and_whole_names_in_paths_are_taken_out_and_counted(ada, text, kept):
    redactor = Redactor()
    assert redactor({"a": [text, (text,)], text: 1}) == {"a": [kept, [kept]], kept: 1}
    assert sum(redactor.counts.values()) == (0 if kept == text else 3)


@pytest.mark.parametrize("name", ["will", "data", "text", "n"])
def test_an_account_that_is_called_like_a_word_changes_no_word(monkeypatch, name):
    for variable, value in {"HOME": f"/home/{name}", "USER": name, "LOGNAME": name}.items():
        monkeypatch.setenv(variable, value)
    cell = {"source": "n = 3", "outputs": [{"data": {"text/plain": "it will end, data/x.csv, text/plain"}}]}
    redactor = Redactor()
    assert redactor(cell) == cell and not redactor.counts
    assert redactor(f"/home/{name}/x") == "~/x"


def test_a_name_of_other_letters_is_known_however_it_is_spelled(monkeypatch):
    for variable, value in {"HOME": "/home/zoë", "USER": "zoë", "LOGNAME": "zoë"}.items():
        monkeypatch.setenv(variable, value)
    for path in ("/home/zoë", "/HOME/ZOË", quote("/home/zoë"), quote("/HOME/ZOË", safe=""), r"/home/zo\u00eb"):
        assert Redactor()(f"in {path}: x") == "in ~: x"
    assert Redactor()(r"/scratch/zo\u00eb/x") == "/scratch/user/x"


def test_pictures_and_packed_arrays_are_left_alone(ada):
    path = "/home/ada_q/"
    data = {"image/png": path, "bdata": path, "image/svg+xml": f"<text>{path}</text>"}
    assert Redactor()(data) == {**data, "image/svg+xml": "<text>~/</text>"}


def test_the_folder_of_root_is_one_too(monkeypatch):
    for name, value in {"HOME": "/root", "USER": "root", "LOGNAME": "root"}.items():
        monkeypatch.setenv(name, value)
    assert Redactor()("the root of /root/x, a vm, /chroot/x") == "the root of ~/x, a vm, /chroot/x"


def test_further_texts_are_replaced_as_asked(ada):
    assert Redactor(also={"/tmp/.demo.tmp-1": "runs/demo"})("see /tmp/.demo.tmp-1/a") == "see runs/demo/a"


@pytest.mark.parametrize(
    ("names", "secret"),
    [
        ("hf_token token key api_key apiKey OPENAI_KEY GITHUB_PAT AWS_CREDENTIALS DATABASE_URL dbPassword", True),
        ("MAX_TOKENS n_tokens pad_token monkey keyboard tokenizer base_url patience path", False),
    ],
)
def test_a_secret_is_known_by_a_whole_word_of_its_name(names, secret):
    assert {name: is_secret(name) for name in names.split()} == dict.fromkeys(names.split(), secret)


def test_a_secrets_value_is_looked_for_only_where_it_looks_like_one():
    values = {"HF_TOKEN": "hf_0123456789", "API_KEY": "planted-one", "SECRET": "AbCdEfGhIj"}
    values |= {"KEY": "positive", "TOKEN": "100000000", "SSH_KEY": "/home/x/.ssh/id_rsa1", "PASSWORD": "a1"}
    values |= {"N": "12ab34cd", "url": "pg://me:pa55word@h/x"}
    assert secrets_in(values) == {"hf_0123456789", "planted-one", "AbCdEfGhIj", "pa55word"}
    redactor = Redactor(secrets_in(values))
    text = "positive 100000000 a1 planted-one. hf_0123456789%2F xhf_0123456789 pg://me:pa55word@h"
    assert redactor(text) == "positive 100000000 a1 ***. ***%2F xhf_0123456789 pg://me:***@h"
    assert redactor.counts == {"secret": 3}


@pytest.mark.parametrize("secret", ['pass"word\\1', "wJalr/K7MDENG+bPx", "<pässw0rd&1>"])
@pytest.mark.parametrize("before", ["", "a ", "key=", "token%3D", r"\n", r"\u003d", "&quot;", "\x1b[31m"])
def test_a_secret_is_known_however_it_is_spelled(secret, before):
    redactor = Redactor(secrets_in({"service": {"options": [{"api_key": secret}]}}))
    for spell in (str, repr, json.dumps, html.escape, quote, lambda text: quote(text, safe="")):
        assert redactor(before + spell(secret).strip("\"'")) == f"{before}***"
    assert redactor(base64.b64encode(secret.encode()).decode()).rstrip("=") == "***"
    assert redactor.counts["secret"] == 7


def test_given_parameters_never_show_a_secret_whatever_it_looks_like():
    values = {"password": "word", "key": ["a", {"b": "c"}], "token": "", "n_tokens": 3, "tokens": "x", "seed": 1}
    assert hidden(values) == values | {"password": "***", "key": ["***", {"b": "***"}]}
    assert hidden({"service": {"url": "x", "auth": [{"api_key": "word"}]}})["service"]["auth"] == [{"api_key": "***"}]
    source = '# Parameters\npassword = "wo\\"rd"\nn_tokens = 3\nkey = ["a", "b"]\nuse = {"n": 1, "key": "word"}\n'
    cells = [new_code_cell(source, metadata={"tags": ["injected-parameters"]}), new_code_cell('password = "mine"')]
    node = new_notebook(cells=cells, metadata={"papermill": {"parameters": {"password": 'wo"rd', "n_tokens": 3}}})
    clean = Redactor().notebook(node)
    assert (
        clean.cells[0].source
        == "# Parameters\npassword = \"***\"\nn_tokens = 3\nkey = \"***\"\nuse = {'n': 1, 'key': '***'}\n"
    )
    assert clean.cells[1].source == 'password = "mine"'
    assert clean.metadata.papermill.parameters == {"password": "***", "n_tokens": 3} and "rd" in node.cells[0].source
