"""Ollama is told the trained chat template in its own language, or nothing: never another template."""

import pytest
from transformers import AutoTokenizer

from ftsdk.data.encoding import PLAIN_TEMPLATE
from ftsdk.posttrain.ollama import around_messages, modelfile

pytestmark = pytest.mark.filterwarnings("ignore")

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TALK = [
    {"role": "system", "content": "Rules"},
    {"role": "user", "content": "Why?"},
    {"role": "assistant", "content": "So."},
    {"role": "user", "content": "I see"},
]


@pytest.fixture
def tokenizer(tiny_model):
    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.mark.parametrize("template", [None, CHATML, PLAIN_TEMPLATE], ids=["tiny", "chatml", "plain"])
def test_a_plain_template_is_told_whole(tokenizer, template):
    """What is written around each role's messages makes the trained template's own text."""
    tokenizer.chat_template = template or tokenizer.chat_template

    around = around_messages(tokenizer)

    assert tokenizer.apply_chat_template(TALK, tokenize=False, add_generation_prompt=True) == around.render(TALK)


ODD = {
    "folds the system message": CHATML.replace(
        "m.role + '\n'", "('user' if m.role == 'system' else m.role) + '\n'"
    ).replace("messages %}", "messages if m.role != 'system' %}"),
    "adds a system message": "{% if messages[0].role != 'system' %}<|system|>Be kind.<|end|>{% endif %}" + CHATML,
    "counts": "{% for m in messages %}{{ loop.index }} {{ m.role }}: {{ m.content }}\n{% endfor %}",
    "drops earlier answers": CHATML.replace("messages %}", "messages if m.role != 'assistant' %}"),
    "refuses": "{{ raise_exception('no') }}",
    "holds braces": CHATML.replace("<|im_start|>", "{{"),
    "holds quotes": CHATML.replace("<|im_start|>", '"""'),
}


@pytest.mark.parametrize("template", ODD.values(), ids=ODD)
def test_any_other_template_is_not_guessed_at(tokenizer, template):
    """A template that does more than that is left out, and the file says so."""
    tokenizer.chat_template = template

    told = modelfile(tokenizer, ["<|end|>"])

    assert "\nTEMPLATE" not in told
    assert "\n# The trained template says more" in told


def test_the_file_reads_as_ollama_reads_it(tokenizer):
    """The folder, the ends of answers, and the template between three quotes, in Go's words."""
    tokenizer.chat_template = CHATML

    assert modelfile(tokenizer, ["<|im_end|>", 'a"b']) == (
        'FROM .\nPARAMETER stop "<|im_end|>"\nPARAMETER stop "a\\"b"\nTEMPLATE """{{ range .Messages }}'
        '{{ if eq .Role "system" }}<|im_start|>system\n{{ .Content }}<|im_end|>\n'
        '{{ else if eq .Role "user" }}<|im_start|>user\n{{ .Content }}<|im_end|>\n'
        '{{ else if eq .Role "assistant" }}<|im_start|>assistant\n{{ .Content }}<|im_end|>\n'
        '{{ end }}{{ end }}<|im_start|>assistant\n"""\n'
    )
