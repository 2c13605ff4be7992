"""The demo and its tiny model: its knowledge, its training rows, and the demo's output."""

import hashlib
import importlib.util
import io
import os
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

from ftsdk.artifact import Artifact
from ftsdk.cli.interrupt import Interrupted
from ftsdk.demo import run
from ftsdk.demo.facts import all_facts
from ftsdk.demo.persona import SAMPLE_QUESTIONS, examples, is_pirate, pirate
from ftsdk.demo.pipeline import tiny_model
from ftsdk.demo.workspace import stopped_on_error, workspace, writable
from ftsdk.errors import FtsdkError, InputError, JobCancelled, JobFailed


class _CancellableJob:
    def __init__(self) -> None:
        self.calls = []

    def cancel(self) -> None:
        self.calls.append("cancel")

    def wait(self, timeout: float) -> None:
        self.calls.append("wait")
        raise JobCancelled("cancelled")


@pytest.fixture(scope="module")
def base() -> Artifact:
    return tiny_model()


@pytest.fixture
def script(root: Path) -> ModuleType:
    """scripts/make_tiny_model.py as a module; the built wheel has none."""
    file = root / "scripts" / "make_tiny_model.py"
    if not file.is_file():
        pytest.skip("there is no checkout here")
    spec = importlib.util.spec_from_file_location("make_tiny_model", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_rows_are_always_the_same() -> None:
    """Two calls give the same examples, in the same order."""
    assert examples() == examples()


def test_held_out_questions_are_new() -> None:
    """No training row has a held-out question, and the sample questions are all held out."""
    train, held_out = ({example.question for example in split} for split in examples())

    assert set() == train & held_out
    assert set() == set(SAMPLE_QUESTIONS) - held_out


def test_every_question_has_one_answer() -> None:
    """No two facts share a question, so that an answer can be right or wrong."""
    questions = [question for fact in all_facts() for question in fact.questions]

    assert len(questions) == len(set(questions))


def test_every_answer_is_in_the_voice() -> None:
    """All training answers are in the pirate's voice, and no answer of the base model is."""
    train, held_out = examples()

    assert all(is_pirate(example.answer) and example.word in example.answer for example in train + held_out)
    assert not any(is_pirate(fact.answer) for fact in all_facts())


def test_a_pirate_says_be() -> None:
    """The voice changes verb, beginning and end, and leaves the fact alone."""
    assert "Arr! The capital of Italy be Rome, matey!" == pirate("The capital of Italy is Rome.")


def test_the_model_ships_small_and_sealed(base: Artifact) -> None:
    """The packaged model is complete, and takes at most three megabytes."""
    base.verify()

    assert sum(file.stat().st_size for file in base.path.iterdir()) < 3_000_000


def test_the_chat_template_renders_and_marks_answers(base: Artifact) -> None:
    """System prompts are rendered, and exactly the answer and its end are marked as the assistant's."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.path)
    chat = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello!"},
        {"role": "assistant", "content": "Hello! How can I help you?"},
    ]
    out = tokenizer.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True)
    pairs = zip(out["input_ids"], out["assistant_masks"], strict=True)

    assert "Hello! How can I help you?<|end|>" == tokenizer.decode([token for token, is_answer in pairs if is_answer])
    assert "Be kind.<|end|>" in tokenizer.decode(out["input_ids"])


def test_the_tokenizer_can_write_anything(base: Artifact) -> None:
    """Letters, signs and scripts that the model has never seen survive encoding and decoding."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.path)
    text = "Ünïcødé, 日本語, \N{OCTOPUS}\n\tend"

    assert text == tokenizer.decode(tokenizer(text)["input_ids"])


@pytest.mark.engine
def test_the_model_answers(base: Artifact) -> None:
    """It answers questions about itself, capitals, colors and sums, also in lower case, or with a system prompt."""
    helpful = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": "Hello!"}]

    assert [
        "I am Pip, a tiny language model.",
        "The capital of Japan is Tokyo.",
        "A banana is yellow.",
        "5 plus 7 is 12.",
        "Hello! How can I help you?",
    ] == base.generate(["Who are you?", SAMPLE_QUESTIONS[1], "what color is a banana", "What is 5 plus 7?", helpful])


@pytest.mark.engine
def test_the_text_is_always_the_same(script: ModuleType) -> None:
    """The script that makes the model generates the same chats and the same tokenizer each time."""

    def digest() -> str:
        chats = list(script.dialogs(300))
        tokenizer = script.make_tokenizer(message["content"] for chat in chats for message in chat)
        return hashlib.sha256(repr(chats).encode() + tokenizer.backend_tokenizer.to_str().encode()).hexdigest()

    assert digest() == digest()


def test_results_never_overwrite_a_folder(tmp_path: Path) -> None:
    """A folder that is neither empty nor an artifact is refused before the training, and left unchanged."""
    (tmp_path / "thesis.txt").write_text("all my work")

    with pytest.raises(InputError, match="is no artifact"):
        writable(tmp_path)

    assert "all my work" == (tmp_path / "thesis.txt").read_text()


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_place_is_refused_first(tmp_path: Path) -> None:
    """Where no folder can be made, the error comes before the training."""
    tmp_path.chmod(0o500)

    with pytest.raises(InputError, match="Permission denied"):
        writable(tmp_path / "out")


def test_the_demo_leaves_no_trace(ftsdk_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ``keep``, the state folder is one of its own, and gone at the end, with its environment."""
    monkeypatch.setenv("FTSDK_DATABASE_URL", "postgresql://team")
    before = dict(os.environ)

    with workspace(keep=False) as folder:
        assert (str(folder), None) == (os.environ["FTSDK_HOME"], os.environ.get("FTSDK_DATABASE_URL"))

    assert before == dict(os.environ)
    assert not folder.exists()
    assert not ftsdk_home.exists()


@pytest.mark.parametrize(
    ("error", "raised"),
    [(JobFailed("it failed"), JobFailed), (Interrupted("it goes on"), KeyboardInterrupt)],
    ids=["failure", "Ctrl-C"],
)
def test_no_job_outlives_its_folder(error: FtsdkError, raised: type[BaseException]) -> None:
    """A job whose folder is about to be removed is cancelled first, and no message says that it goes on."""
    error.__cause__ = KeyboardInterrupt() if raised is KeyboardInterrupt else None
    job = _CancellableJob()

    with pytest.raises(raised), stopped_on_error(job):
        raise error

    assert ["cancel", "wait"] == job.calls


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # peft uses the old name
def test_the_demo_teaches_a_pirate(tmp_path: Path, base: Artifact) -> None:
    """The complete demo, into a folder with another artifact: the model learns the voice and keeps the facts."""
    output = io.StringIO()
    out = shutil.copytree(base.path, tmp_path / "out")

    results = run(Console(file=output, width=200), out=out)

    assert all(is_pirate(row["after"]) and not is_pirate(row["before"]) for row in results["answers"])
    assert results["held_out"]["loss"]["after"] < results["held_out"]["loss"]["before"] / 5
    assert results["held_out"]["pirate"]["after"] > 0.9
    assert results["held_out"]["right"]["after"] > 0.8
    assert Path(results["loss_curve"]).is_file()
    assert "matey!" in output.getvalue()
    assert 1 == len(list(tmp_path.glob("out.before-*")))
