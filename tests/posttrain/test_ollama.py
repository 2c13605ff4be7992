"""A Modelfile holds the trained chat template as a Go template, or none: never another template."""

import pytest
from transformers import AutoTokenizer

from ftsdk.data.row_labels import PLAIN_TEMPLATE
from ftsdk.posttrain.ollama import modelfile, template_parts

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
def test_a_plain_template_is_written_completely(tokenizer, template):
    """The parts around each role's messages render the same text as the trained template."""
    tokenizer.chat_template = template or tokenizer.chat_template

    parts = template_parts(tokenizer)

    assert tokenizer.apply_chat_template(TALK, tokenize=False, add_generation_prompt=True) == parts.render(TALK)


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
    """A template that does more is left out, and a comment in the file states it."""
    tokenizer.chat_template = template

    text = modelfile(tokenizer, ["<|end|>"])

    assert "\nTEMPLATE" not in text
    assert "\n# The trained chat template cannot be written" in text


def test_the_file_reads_as_ollama_reads_it(tokenizer):
    """The folder, the ends of answers, and the template between three quotes, as a Go template."""
    tokenizer.chat_template = CHATML

    assert modelfile(tokenizer, ["<|im_end|>", 'a"b']) == (
        'FROM .\nPARAMETER stop "<|im_end|>"\nPARAMETER stop "a\\"b"\nTEMPLATE """{{ range .Messages }}'
        '{{ if eq .Role "system" }}<|im_start|>system\n{{ .Content }}<|im_end|>\n'
        '{{ else if eq .Role "user" }}<|im_start|>user\n{{ .Content }}<|im_end|>\n'
        '{{ else if eq .Role "assistant" }}<|im_start|>assistant\n{{ .Content }}<|im_end|>\n'
        '{{ end }}{{ end }}<|im_start|>assistant\n"""\n'
    )
