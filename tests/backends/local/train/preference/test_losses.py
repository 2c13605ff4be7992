"""The losses of DPO, KTO and ORPO as they are computed in a run, beside their papers' formulas in float64."""

from functools import partial

import pytest
import torch
from peft import PeftModel
from preference_rows import pairs, unpaired
from tiny_models import metrics_of
from torch.nn.functional import logsigmoid
from transformers import AutoModelForCausalLM, AutoTokenizer

pytestmark = [
    pytest.mark.engine,
    pytest.mark.numeric,
    pytest.mark.filterwarnings("ignore"),  # the libraries warn of each other's changes; ours are errors elsewhere
]


def log_prob(model, tokenizer, prompt, answer):
    """The sum over the answer's tokens, how many they are, and the sum over all tokens; in float64."""
    begin = len(tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False))
    text = tokenizer.apply_chat_template(prompt + answer, tokenize=False).rstrip()
    ids = torch.tensor(tokenizer(text, add_special_tokens=False)["input_ids"])[None]
    with torch.no_grad():
        every = model(input_ids=ids).logits[0, :-1].double().log_softmax(-1)
    token_log_probs = every.gather(-1, ids[0, 1:, None]).squeeze(-1)
    return (
        token_log_probs[begin - 1 :].sum(),
        len(token_log_probs[begin - 1 :]),
        token_log_probs.sum(),
        len(token_log_probs),
    )


def dpo_loss(policy, base, rows, *, per_row, normalized=False):
    """The mean of a function of the difference of log-ratios."""
    losses = []
    for row in rows:
        ratios = []
        for name in ("chosen", "rejected"):
            log_prob_sum, count, *_ = policy(row["prompt"], row[name])
            ratios.append((log_prob_sum - base(row["prompt"], row[name])[0]) / (count if normalized else 1))
        losses.append(per_row(ratios[0] - ratios[1]))
    return torch.stack(losses).mean()


def kto_loss(policy, base, rows, *, beta, good, bad):
    """Equation 7 of arXiv 2402.01306; each prompt with the answer before it gives the KL."""

    def ratio(prompt, answer):
        return policy(prompt, answer)[0] - base(prompt, answer)[0]

    mismatched = [ratio(row["prompt"], rows[place - 1]["completion"]) for place, row in enumerate(rows)]
    kl = torch.stack(mismatched).mean().clamp(min=0)
    assert kl > 0
    losses = [
        good * (1 - (beta * (ratio(row["prompt"], row["completion"]) - kl)).sigmoid())
        if row["label"]
        else bad * (1 - (beta * (kl - ratio(row["prompt"], row["completion"]))).sigmoid())
        for row in rows
    ]
    return torch.stack(losses).mean()


def log_odds(log_p):
    return log_p - torch.log1p(-log_p.exp())


def orpo_loss(policy, base, rows, *, beta):
    """Equation 6 of arXiv 2403.07691; its SFT loss is the mean over the tokens of prompts and chosen answers."""
    odds, nll, tokens = [], 0.0, 0
    for row in rows:
        (good, count, full, total), (bad, rejected_count, *_) = (
            policy(row["prompt"], row[k]) for k in ("chosen", "rejected")
        )
        odds.append(-logsigmoid(log_odds(good / count) - log_odds(bad / rejected_count)))
        nll, tokens = nll - full, tokens + total
    return nll / tokens + beta * torch.stack(odds).mean()


CLOSED = {
    "sigmoid": ({"type": "dpo", "beta": 0.3}, partial(dpo_loss, per_row=lambda x: -logsigmoid(0.3 * x))),
    "hinge": (
        {"type": "dpo", "loss_type": "hinge", "beta": 0.2},
        partial(dpo_loss, per_row=lambda x: (1 - 0.2 * x).relu()),
    ),
    "ipo": (
        {"type": "dpo", "loss_type": "ipo", "beta": 0.4},
        partial(dpo_loss, per_row=lambda x: (x - 1 / 0.8) ** 2, normalized=True),
    ),
    "conservative": (
        {"type": "dpo", "label_smoothing": 0.2},
        partial(dpo_loss, per_row=lambda x: -0.8 * logsigmoid(0.1 * x) - 0.2 * logsigmoid(-0.1 * x)),
    ),
    "kto": (
        {"type": "kto", "beta": 0.3, "desirable_weight": 4.0, "undesirable_weight": 0.5},
        partial(kto_loss, beta=0.3, good=4.0, bad=0.5),
    ),
    "orpo": ({"type": "orpo", "beta": 0.25}, partial(orpo_loss, beta=0.25)),
}


@pytest.mark.parametrize(("method", "expected"), CLOSED.values(), ids=CLOSED)
def test_loss_is_that_of_the_paper(preference_spec, train, tiny_model, method, expected):
    """The second step's loss, on all rows, is what the first step's checkpoint gives by the formula, in float64."""
    rows = unpaired()[:2] if method["type"] == "kto" else pairs()[:6]
    training = {
        "max_steps": 2,
        "global_batch_size": len(rows),
        "save_steps": 1,
        "learning_rate": 2e-4,
        "warmup_steps": 0,
    }
    folder = train(preference_spec(method, rows, training=training))

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    base, began = (AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float64).eval() for _ in range(2))
    policy = PeftModel.from_pretrained(began, folder.checkpoints / "checkpoint-1").eval()
    loss = expected(partial(log_prob, policy, tokenizer), partial(log_prob, base, tokenizer), rows)

    assert metrics_of(folder, "loss")[1] == pytest.approx(loss.item(), rel=1e-4)
