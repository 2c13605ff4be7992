"""The batches that preference trainers learn from in an engine: our tokens and labels, padded, and nothing else."""

from ftsdk.engines.batches import paired_batch, unpaired_batch

GOOD = {"input_ids": [1, 2, 3], "labels": [-100, -100, 3], "label": True}
BAD = {"input_ids": [4, 5, 6, 7], "labels": [-100, 5, 6, -100], "label": False}


def as_lists(batch):
    return {name: tensor.tolist() for name, tensor in batch.items()}


def test_pairs_stand_chosen_before_rejected():
    """What carries loss is what has a label, also where an answer has others' words in it."""
    row = {
        "chosen_input_ids": [1, 2, 3, 4],
        "chosen_labels": [-100, 2, -100, 4],
        "rejected_input_ids": [1, 5],
        "rejected_labels": [-100, 5],
    }

    assert {
        "input_ids": [[1, 2, 3, 4], [1, 5, 0, 0]],
        "attention_mask": [[1, 1, 1, 1], [1, 1, 0, 0]],
        "completion_mask": [[0, 1, 0, 1], [0, 1, 0, 0]],
    } == as_lists(paired_batch([row], pad=0))


def test_unpaired_rows_have_another_answer_beside_them():
    """KTO's KL is estimated on each prompt with another one's answer, whatever rows are in a batch."""
    rows = [
        {**GOOD, "other_input_ids": [1, 2, 5, 6], "other_labels": [-100, -100, 5, 6]},
        {**BAD, "other_input_ids": [4, 3], "other_labels": [-100, 3]},
    ]
    batch = as_lists(unpaired_batch(rows, pad=9))

    assert [[1, 2, 3, 9], [4, 5, 6, 7]] == batch["input_ids"]
    assert [[0, 0, 1, 0], [0, 1, 1, 0]] == batch["completion_mask"]
    assert [[1, 2, 5, 6], [4, 3, 9, 9]] == batch["KL_input_ids"]
    assert [[1, 1, 1, 1], [1, 1, 0, 0]] == batch["KL_attention_mask"]
    assert [[0, 0, 1, 1], [0, 1, 0, 0]] == batch["KL_completion_mask"]
    assert [True, False] == batch["label"]
