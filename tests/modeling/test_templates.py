"""The assistant's words are found under any chat template: each test template has a quirk of a family in use."""

import pytest

from ftsdk.data.row_labels import PLAIN_TEMPLATE, UnclearTurn, render

TURNS = (
    "{% for m in messages %}<|turn|>{{ m.role }}\n{{ m.content | trim }}<|stop|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
MARKED = (
    "{% for m in messages %}<|turn|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
    "<|stop|>{% endgeneration %}{% else %}{{ m.content }}<|stop|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
BRACKETED = (  # no header for the assistant, the system's words inside the user's, strict turns
    "<bos>{% set ns = namespace(system='') %}{% for m in messages %}{% if m.role == 'system' %}"
    "{% set ns.system = m.content + '\n\n' %}{% elif m.role == 'user' %}[ASK] {{ ns.system + m.content }} [/ASK]"
    "{% set ns.system = '' %}{% else %} {{ m.content }}<|stop|>{% endif %}{% endfor %}"
)
LAST_THOUGHT_ONLY = (  # drops the thoughts of all turns but the last, and prompts with an opened thought
    "{% for m in messages %}<|turn|>{{ m.role }}\n{% if m.role == 'assistant' and '</think>' in m.content and not "
    "loop.last %}{{ m.content.split('</think>')[-1] | trim }}{% else %}{{ m.content }}{% endif %}<|stop|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
LAST_ONLY = (  # closes the whole conversation, and only at its end
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{% if not loop.last %}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}\nassistant: {% else %}<|stop|>{% endif %}"
)
CALLING = (
    "{% if tools %}<|turn|>tools\n{{ tools | tojson }}<|stop|>\n{% endif %}"
    "{% for m in messages %}<|turn|>{{ m.role }}\n{{ m.content }}"
    "{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}<|stop|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "Goodbye."},
]


def assistant_text(tokenizer, template, messages, tools=None):
    tokenizer.chat_template = template
    rendered = render(tokenizer, messages, tools)
    return [rendered.text[begin:end] for begin, end in rendered.spans]


@pytest.mark.parametrize("template", [TURNS, MARKED], ids=["turns", "marked"])
@pytest.mark.parametrize("messages", [CHAT, CHAT[1:], CHAT[:3]], ids=["system", "no-system", "one-turn"])
def test_every_turn_and_its_stop(tokenizer, template, messages):
    """Each answer is found with the token that ends it, and without the line break behind."""
    expected = [m["content"] + "<|stop|>" for m in messages if m["role"] == "assistant"]

    assert assistant_text(tokenizer, template, messages) == expected


def test_blank_before_the_answer_belongs_to_it(tokenizer):
    """Where no header opens the answer, the blank before it belongs to the model's turn."""
    assert assistant_text(tokenizer, BRACKETED, CHAT) == [" Hello.<|stop|>", " Goodbye.<|stop|>"]


def test_dropped_thoughts(tokenizer):
    """A template that rewrites earlier turns still has each of them found, as it is rendered."""
    messages = [
        *CHAT[1:2],
        {"role": "assistant", "content": "<think>hm</think>Hello."},
        *CHAT[3:4],
        {"role": "assistant", "content": "<think>so</think>Goodbye."},
    ]

    assert assistant_text(tokenizer, LAST_THOUGHT_ONLY, messages) == [
        "Hello.<|stop|>",
        "<think>so</think>Goodbye.<|stop|>",
    ]


def test_end_mark_only_at_the_end(tokenizer):
    """Where only the whole conversation is closed, earlier answers are found without a mark of their own."""
    assert assistant_text(tokenizer, LAST_ONLY, CHAT[1:]) == ["Hello.", "Goodbye.<|stop|>"]


def test_repeated_words(tokenizer):
    """An answer that repeats the question, or another answer, is still found in its own place."""
    messages = [{"role": role, "content": "Hi"} for role in ("user", "assistant", "user", "assistant")]
    tokenizer.chat_template = TURNS

    rendered = render(tokenizer, messages)

    header = len("<|turn|>user\nHi<|stop|>\n<|turn|>assistant\n")
    turn = header + len("Hi<|stop|>\n")
    assert rendered.spans == [(header, turn - 1), (turn + header, 2 * turn - 1)]


def test_tool_calls(tokenizer):
    """A call belongs to the assistant's turn; the tool's answer does not."""
    messages = [
        CHAT[1],
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
        {"role": "tool", "content": "42"},
        CHAT[2],
    ]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]

    rendered = assistant_text(tokenizer, CALLING, messages, tools)

    assert rendered == ['[{"function": {"name": "f", "arguments": {}}}]<|stop|>', "Hello.<|stop|>"]


def test_unfindable_turn(tokenizer):
    """A template that hides a turn is refused, never guessed at."""
    tokenizer.chat_template = "{{ messages | length }} messages"

    with pytest.raises(UnclearTurn):
        render(tokenizer, CHAT[1:])


def test_plain_template(tokenizer):
    """A model without a template gets one of plain words, with its own end-of-text token behind each answer."""
    assert assistant_text(tokenizer, PLAIN_TEMPLATE, CHAT) == ["Hello.<|end|>", "Goodbye.<|end|>"]
