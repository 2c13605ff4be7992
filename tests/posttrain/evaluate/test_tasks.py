"""Tasks of lm-evaluation-harness: offline from a file, for both models, and no code that is not trusted."""

import json
import math
import os
import subprocess
import sys
import time

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from ftsdk.errors import InputError, MissingExtra, UnreachableError

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("evaluate")]


@pytest.fixture
def artifact(job_of):
    """The adapter of a short job."""
    return job_of("lora").artifact


def right_by_hand(model, tokenizer, questions):
    """For each question, whether the right choice is the likeliest continuation, by the model's plain logits."""
    right = []
    for row in questions:
        scores = []
        for choice in row["choices"]:
            before = tokenizer(f"Question: {row['question']}\nAnswer:")["input_ids"]
            full = tokenizer(f"Question: {row['question']}\nAnswer: {choice}")["input_ids"]
            with torch.no_grad():
                logs = model(torch.tensor([full])).logits[0].log_softmax(-1)
            positions = range(len(before), len(full))
            scores.append(sum(logs[position - 1, full[position]].item() for position in positions))
        right.append(scores.index(max(scores)) == row["answer"])
    return right


@pytest.mark.filterwarnings("ignore::FutureWarning")  # PEFT's, of its next version
def test_a_local_task_by_hand(artifact, write_task, questions, tiny_model):
    """The accuracy of base and artifact, and its standard error, are those computed from their plain logits."""
    (task_result,) = artifact.evaluate(tasks=[write_task()], held_out=False).tasks

    tokenizer = AutoTokenizer.from_pretrained(artifact.path)
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    before = right_by_hand(base, tokenizer, questions)
    after = right_by_hand(PeftModel.from_pretrained(base, artifact.path).eval(), tokenizer, questions)
    (accuracy,) = task_result.metrics
    assert (sum(before) / 4, sum(after) / 4) == (accuracy.base, accuracy.artifact)
    share = accuracy.base
    assert math.sqrt(share * (1 - share) / 3) == pytest.approx(accuracy.base_stderr)
    assert ("colours", "3.0", 4, 0) == (task_result.task, task_result.version, task_result.rows, task_result.shots)


def test_a_whole_model(job_of, write_task, questions):
    """Of a whole model, the base is loaded beside it, and both are asked."""
    artifact = job_of("whole").artifact

    (task_result,) = artifact.evaluate(tasks=[write_task()], held_out=False).tasks

    model = AutoModelForCausalLM.from_pretrained(artifact.path, dtype=torch.float32).eval()
    after = right_by_hand(model, AutoTokenizer.from_pretrained(artifact.path), questions)
    assert sum(after) / 4 == task_result.metrics[0].artifact


def test_tasks_and_rows_together(artifact, write_task):
    """The loss beside a task is the same as without: measuring one does not change the model for the other."""
    alone = artifact.evaluate(samples=0)

    combined = artifact.evaluate(samples=1, tasks=[write_task()])

    assert alone.held_out == combined.held_out
    assert {"lm-eval"} == set(combined.versions) - set(alone.versions)


def test_killed_and_asked_again(artifact, write_task, tmp_path):
    """Killed while it reads a task's rows, an evaluation leaves nothing in the artifact, and the next one succeeds."""
    task, cache = write_task(), tmp_path / "datasets"
    before = sorted(path.name for path in artifact.path.iterdir())
    code = f"import ftsdk; ftsdk.Artifact.open({str(artifact.path)!r}).evaluate(tasks=[{task!r}])"
    child = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "HF_DATASETS_CACHE": str(cache)})
    end = time.monotonic() + 120
    while not cache.exists():
        assert child.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    child.kill()
    child.wait()

    (task_result,) = artifact.evaluate(tasks=[task], held_out=False).tasks

    assert (4, before) == (task_result.rows, sorted(path.name for path in artifact.path.iterdir()))
    artifact.verify()


def test_settings_reach_the_task(artifact, write_task):
    """Fewer questions, solved examples before them, and the chat template, as set."""
    (task_result,) = artifact.evaluate(tasks=[write_task()], held_out=False, limit=2, num_fewshot=1, chat=True).tasks

    assert (2, 1) == (task_result.rows, task_result.shots)


def test_a_group_of_tasks(artifact, write_task, tmp_path):
    """A file may stand for a group of tasks that lie beside it; it has a mean of its own."""
    write_task(("task: colours", "task: one"), name="one.yaml")
    write_task(("task: colours", "task: two"), ("version: 3", "version: 4"), name="two.yaml")
    (tmp_path / "both.yaml").write_text(
        "group: both\ntask: [one, two]\naggregate_metric_list: [{metric: acc}]\nmetadata: {version: 5}\n"
    )

    task_results = artifact.evaluate(tasks=[str(tmp_path / "both.yaml")], held_out=False).tasks

    assert {"one": ("3.0", 4), "two": ("4.0", 4), "both": ("5", 8)} == {
        t.task: (t.version, t.rows) for t in task_results
    }
    assert 1 == len({task.metrics[0].artifact for task in task_results})


def test_code_beside_a_group_is_refused(artifact, write_task, tmp_path):
    """The files that a group may name are checked like the group itself."""
    write_task(CODE["a function"][0], name="one.yaml")
    (tmp_path / "both.yaml").write_text("group: both\ntask: [colours]\n")

    with pytest.raises(InputError, match=r"one\.yaml holds code"):
        artifact.evaluate(tasks=[str(tmp_path / "both.yaml")], held_out=False)


def test_a_task_that_generates(artifact, write_task):
    """A task may let the models generate: here it accepts any answer."""
    generating = write_task(
        ("multiple_choice", "generate_until"),
        ('doc_to_choice: "{{choices}}"', "generation_kwargs: {max_gen_toks: 4, do_sample: false}"),
        ("doc_to_target: answer", "doc_to_target: ''"),
        ("[{metric: acc}]", "[{metric: exact_match, regexes_to_ignore: ['(?s).*']}]"),
    )

    (task_result,) = artifact.evaluate(tasks=[generating], held_out=False, limit=2).tasks

    (metric,) = task_result.metrics
    assert ("exact_match", 1.0, 1.0) == (metric.metric, metric.base, metric.artifact)


CODE = {
    "a function": (("answer\nmetric", "!function helper.answer\nmetric"), ":8: !function helper.answer is code"),
    "an object": (("answer\nmetric", "!!python/name:os.system ''\nmetric"), "os.system"),
    "execution": (("metadata", "unsafe_code: true\nmetadata"), "executes code that the model writes"),
}


@pytest.mark.parametrize("kind", CODE)
def test_code_in_a_task_file_is_refused(artifact, write_task, tmp_path, kind):
    """A task file that holds code is refused with the line, before the harness reads it, and nothing runs."""
    (tmp_path / "helper.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef answer(doc): return 0\n")
    change, problem = CODE[kind]

    with pytest.raises(InputError, match="holds code") as caught:
        artifact.evaluate(tasks=[write_task(change)], held_out=False)

    assert problem in str(caught.value.problems[0])
    assert "--trust-task-code" in caught.value.hint
    assert not (tmp_path / "ran").exists()


def test_included_code_is_refused(artifact, write_task, tmp_path):
    """The files that a task file includes are checked, too."""
    (tmp_path / "base.yaml").write_text("process_docs: !function helper.clean\n")

    with pytest.raises(InputError) as caught:
        artifact.evaluate(tasks=[write_task(("task: ", "include: base.yaml\ntask: "))], held_out=False)

    assert f"{tmp_path / 'base.yaml'}:1" == caught.value.problems[0].where


def test_trusted_code_runs(artifact, write_task, tmp_path):
    """With trust, a function that the task file names is used."""
    (tmp_path / "helper.py").write_text("def answer(doc): return doc['answer']\n")
    plain = artifact.evaluate(tasks=[write_task()], held_out=False)

    trusted = artifact.evaluate(
        tasks=[write_task(CODE["a function"][0], name="trusted.yaml")], held_out=False, trust_task_code=True
    )

    assert plain.tasks == trusted.tasks


def test_templates_stay_in_a_sandbox(artifact, write_task):
    """A template that reaches into Python is stopped, though it is data to YAML."""
    escape = write_task(("Question: ", "{{ ''.__class__.__mro__[1].__subclasses__() }} "))

    with pytest.raises(InputError, match="unsafe") as caught:
        artifact.evaluate(tasks=[escape], held_out=False)

    assert "--trust-task-code" in caught.value.hint


def test_a_metric_that_is_code_is_refused(artifact, write_task):
    """A metric that the harness does not have would be downloaded as a script: it is refused by its name."""
    with pytest.raises(InputError, match="the metric 'rouge', which comes as code"):
        artifact.evaluate(tasks=[write_task(("metric: acc", "metric: rouge"))], held_out=False)


def test_an_unknown_task(artifact):
    """The error for a wrong name lists the nearest ones."""
    with pytest.raises(InputError, match="neither a task 'hellaswagg'") as caught:
        artifact.evaluate(tasks=["hellaswagg"], held_out=False)

    assert "hellaswag" in caught.value.hint


def test_rows_that_are_elsewhere(artifact):
    """Offline, a task whose rows are on the Hub is an error, before any model is loaded."""
    with pytest.raises(UnreachableError, match="rows of the task arc_easy") as caught:
        artifact.evaluate(tasks=["arc_easy"], held_out=False)

    assert "HF_HUB_OFFLINE" in caught.value.hint


FAULTS = {
    "no file": (None, "cannot be read"),
    "no YAML": (("task: ", "task: ["), "this is no YAML"),
    "no rows": (("questions", "nowhere"), "Unable to find"),
    "no column": (("{{question}}", "{{query}}"), "query"),
    "no such answer": (("target: answer", "target: answr"), "row 1 of 2 choices has the answer 'answr'"),
    "no such choice": (("target: answer", 'target: "{{answer + 1}}"'), "row 3 of 2 choices has the answer '2'"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_broken_task_file(artifact, write_task, tmp_path, kind):
    """A task file that cannot be used is an error of ours, with the cause."""
    change, message = FAULTS[kind]
    task = write_task(change) if change else str(tmp_path / "nowhere.yaml")

    with pytest.raises(InputError, match=message):
        artifact.evaluate(tasks=[task], held_out=False)


def test_a_reward_model_has_no_tasks(job_of, write_task):
    """Tasks ask for text, and a reward model writes none."""
    with pytest.raises(InputError, match="writes none"):
        job_of("reward_modeling").artifact.evaluate(tasks=[write_task()])


def test_without_the_harness(artifact, write_task, monkeypatch):
    """Where the harness is not installed, the error names what to install; the loss does not need it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "lm_eval"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lm_eval", None)

    with pytest.raises(MissingExtra, match="lm_eval") as caught:
        artifact.evaluate(tasks=[write_task()], held_out=False)

    assert "pip install 'ftsdk[evaluate]'" == caught.value.hint
    assert 1 == artifact.evaluate(samples=0, limit=1).held_out.rows


def test_numbers_are_json(artifact, write_task):
    """An evaluation is plain data: written as JSON and read again, it is the same."""
    evaluation = artifact.evaluate(tasks=[write_task()], samples=1)

    assert evaluation == type(evaluation).model_validate(json.loads(evaluation.model_dump_json()))
