"""Code in a checkpoint's folder: it never runs, and nobody is asked whether it may."""

import io
import json
import shutil
import sys
from pathlib import Path

import pytest
from tiny_models import classifier
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.initialization import untrained
from lerpnb.checkpoints.pretrained import load_pretrained
from lerpnb.data.corpus import Corpus
from lerpnb.errors import CheckpointError, LerpError
from lerpnb.paths.line import Line
from lerpnb.probes.classifier import Classifier
from lerpnb.training import FineTuneConfig, fine_tune

CORPUS = Corpus(("good film", "bad film"), (1, 0), ("negative", "positive"), "two texts")
CODE = """from pathlib import Path
Path({marker!r}).touch()
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast
class Words(PreTrainedTokenizerFast): pass
class Config(BertConfig): model_type = "own"
class Model(BertForSequenceClassification): config_class = Config
"""


@pytest.fixture
def ran(tmp_path, monkeypatch) -> Path:
    """The file that a folder's code would write; standard input answers yes to every question."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 50))
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    return tmp_path / "ran"


def edit(folder: Path, file: str, **changes) -> None:
    before = json.loads((folder / file).read_text()) if (folder / file).is_file() else {}
    (folder / file).write_text(json.dumps(before | changes))


def with_code(folder: Path, to: Path, ran: Path, *, tokenizer: bool) -> Path:
    """A copy of a folder whose tokenizer, or whose configuration and model, are classes of its own code."""
    shutil.copytree(folder, to)
    (to / "own.py").write_text(CODE.format(marker=str(ran)))
    if tokenizer:
        edit(to, "tokenizer_config.json", tokenizer_class="Words", auto_map={"AutoTokenizer": ["own.Words"] * 2})
    else:
        models = dict.fromkeys(("AutoModelForCausalLM", "AutoModelForSequenceClassification"), "own.Model")
        edit(to, "config.json", model_type="own", auto_map={"AutoConfig": "own.Config", **models})
    return to


def bert(tiny, to: Path) -> Path:
    return tiny.save(classifier(), to, tiny.tokenizer())


def classifier_adapter(tiny, base: Path, to: Path) -> Path:
    """An adapter of a classifier, with a configuration of its own beside it, as this package saves it."""
    fine_tune(FineTuneConfig(str(base), task="classifier", rank=2, steps=1), CORPUS, to)
    tiny.save(classifier(), to.parent / "whole", None)
    shutil.copy(to.parent / "whole" / "config.json", to / "config.json")
    return to


def tune(task: str, base: Path):
    return fine_tune(FineTuneConfig(str(base), task=task, rank=0, steps=1), CORPUS, base.parent / "tuned")


READERS = {
    "an end of a line": lambda folder: Line(folder, folder, device="cpu"),
    "a base to fine-tune": lambda folder: tune("causal", folder),
    "a classifier to fine-tune": lambda folder: tune("classifier", folder),
    "a classifier": lambda folder: Classifier.load(folder, "cpu"),
    "a model to start again from": lambda folder: untrained(folder, folder=folder.parent / "made"),
}


@pytest.mark.slow
@pytest.mark.parametrize("tokenizer", [True, False], ids=["tokenizer", "config"])
@pytest.mark.parametrize("reader", READERS)
def test_code_in_a_folder_never_runs_and_nobody_is_asked(tiny, tmp_path, ran, capsys, reader, tokenizer):
    folder = with_code(bert(tiny, tmp_path / "plain"), tmp_path / "planted", ran, tokenizer=tokenizer)
    with pytest.raises(LerpError) as error:
        READERS[reader](folder)
    assert not ran.exists() and sys.stdin.tell() == 0
    assert "custom code" not in capsys.readouterr().out
    lines = str(error.value).splitlines()
    if reader in ("an end of a line", "a classifier") and not tokenizer:
        assert lines[0].endswith("transformers has no architecture 'own'.")
    elif tokenizer:
        assert lines[0].endswith(": tokenizer_config.json asks for code of the checkpoint's own (own.Words).")
    else:
        assert lines[0].endswith(": config.json asks for code of the checkpoint's own (own.Config, own.Model).")
    assert lines[1].startswith("Code inside a checkpoint is never run")


@pytest.mark.slow
@pytest.mark.parametrize("tokenizer", [True, False], ids=["tokenizer", "config"])
def test_code_beside_an_adapter_never_runs(tiny, tiny_llama_pair, tmp_path, ran, tokenizer):
    plain = bert(tiny, tmp_path / "plain")
    scorer = with_code(classifier_adapter(tiny, plain, tmp_path / "on"), tmp_path / "planted", ran, tokenizer=tokenizer)
    if tokenizer:
        AutoTokenizer.from_pretrained(plain).save_pretrained(scorer)
        edit(scorer, "tokenizer_config.json", tokenizer_class="Words", auto_map={"AutoTokenizer": ["own.Words"] * 2})
        with pytest.raises(CheckpointError, match="tokenizer_config.json asks for code"):
            Line(scorer, scorer, device="cpu")
    else:
        with pytest.raises(CheckpointError, match=r"config.json asks for code of the checkpoint's own \(own.Config"):
            Classifier.load(scorer, "cpu")
    assert not ran.exists() and sys.stdin.tell() == 0


@pytest.mark.slow
def test_code_beside_a_bare_encoders_adapter_never_runs(tiny, tmp_path, ran):
    bare = tiny.save(classifier().bert, tmp_path / "bare", tiny.tokenizer())
    on = classifier_adapter(tiny, bert(tiny, tmp_path / "plain"), tmp_path / "on")
    scorer = with_code(on, tmp_path / "planted", ran, tokenizer=False)
    with pytest.raises(CheckpointError, match=r"config.json asks for code of the checkpoint's own \(own.Config"):
        Checkpoint.load(scorer, base=bare)
    assert not ran.exists() and sys.stdin.tell() == 0


@pytest.mark.slow
def test_an_adapters_base_with_code_never_runs(tiny, tmp_path, ran):
    base = with_code(bert(tiny, tmp_path / "plain"), tmp_path / "base", ran, tokenizer=True)
    on = classifier_adapter(tiny, tmp_path / "plain", tmp_path / "on")
    edit(on, "adapter_config.json", base_model_name_or_path=str(base))
    for load in (lambda: Classifier.load(on, "cpu"), lambda: Line(on, on, device="cpu")):
        with pytest.raises(LerpError, match="tokenizer_config.json asks for code"):
            load()
    assert not ran.exists() and sys.stdin.tell() == 0


def test_code_that_transformers_does_not_need_is_left_alone(tiny, tiny_llama_pair, tmp_path, ran):
    """A class that transformers has by now is loaded instead, as for many a model on the hub."""
    folder = with_code(tiny_llama_pair.base, tmp_path / "planted", ran, tokenizer=True)
    edit(folder, "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    edit(folder, "config.json", auto_map={"AutoModelForCausalLM": "own.Model"})
    found = Checkpoint.load(folder)
    assert (found.architecture, found.sha256) == ("LlamaForCausalLM", Checkpoint.load(tiny_llama_pair.base).sha256)
    assert isinstance(found.tokenizer, PreTrainedTokenizerFast)
    assert not ran.exists() and sys.stdin.tell() == 0


def test_another_error_stays_what_it_is(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "no such thing"}')
    from transformers import AutoConfig

    with pytest.raises(ValueError, match="no such thing"):
        load_pretrained(AutoConfig, tmp_path, "f(x)")
