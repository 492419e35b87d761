"""What all tests share: no network, two threads, and tiny models on disk (made once; copy one before damaging it)."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import gc
import ipaddress
import signal
import socket
import sys
from pathlib import Path

import pytest

gc.set_threshold(20_000, 20, 20)  # most of what imports make stays: the collector need not look so often
sys.modules["rfc3987_syntax"] = None  # as the command line does: its grammar takes a second of each process
pytest.register_assert_rewrite("browser", "tiny_notebooks")  # imported by tests before pytest loads them as plugins
# A shell lets what runs in its background ignore Ctrl-C; programs that a test interrupts would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that no worker waits for another at the end, and those that share a browser or a run
    beside each other, so that one worker has them."""
    first = ("test_notebooks.py", "test_jupyterlab.py", "test_report_page.py", "test_planted.py")
    items.sort(key=lambda item: first.index(item.path.name) if item.path.name in first else len(first))


def pytest_collection_finish() -> None:
    """What is imported by now stays: the collector need not look through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def no_network():
    """An attempt to leave the machine fails the test that makes it."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0]
            if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
                raise OSError(f"a test tried to reach {host}")
        return connect(self, address)

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", guarded)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def tiny():
    """The makers of tiny_models.py, imported when first asked for: they bring in torch and transformers."""
    import tiny_models as tiny
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.disable_progress_bar()
    return tiny


@pytest.fixture(scope="session")
def tiny_llama_pair(tiny, tmp_path_factory) -> tuple[Path, Path, Path]:
    """base, minus, plus: Llama with a tied head, float32."""
    return tiny.trio(tiny.llama(), tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def tiny_untied_pair(tiny, tmp_path_factory) -> tuple[Path, Path, Path]:
    """base, minus, plus: Llama with a head of its own, float32."""
    return tiny.trio(tiny.llama(tied=False), tmp_path_factory.mktemp("untied"))


@pytest.fixture(scope="session")
def tiny_gpt2_pair(tiny, tmp_path_factory) -> tuple[Path, Path, Path]:
    """base, minus, plus: GPT-2, with Conv1D layers, biases and a tied head, float32."""
    return tiny.trio(tiny.gpt2(), tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="session")
def tiny_half_pair(tiny, tmp_path_factory) -> tuple[Path, Path, Path]:
    """base, minus, plus: Llama with a tied head; minus is stored in bfloat16 and plus in float16."""
    import torch

    return tiny.trio(tiny.llama(), tmp_path_factory.mktemp("half"), (torch.bfloat16, torch.float16))


@pytest.fixture(scope="session")
def tiny_adapter_pair(tiny, tmp_path_factory) -> tuple[Path, Path, Path]:
    """base, minus, plus: a Llama with a tied head and two LoRA adapters on it."""
    return tiny.adapter_trio(tiny.llama(), tmp_path_factory.mktemp("llama-adapters"))


@pytest.fixture(scope="session")
def tiny_gpt2_adapter_pair(tiny, tmp_path_factory) -> tuple[Path, Path, Path]:
    """base, minus, plus: a GPT-2 and two LoRA adapters on its Conv1D layers."""
    return tiny.adapter_trio(tiny.gpt2(), tmp_path_factory.mktemp("gpt2-adapters"))
