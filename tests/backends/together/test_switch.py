"""The example that runs one spec on two backends runs on this one (tests/test_examples.py has the other half)."""

import json

MESSAGES = [{"role": "user", "content": "Ahoy?"}, {"role": "assistant", "content": "Ahoy, matey!"}]


def test_switch_backend(example, service, backend, tmp_path, capsys):
    """The spec of the example becomes one job with an adapter; the plan says that quantization is ignored."""
    path = tmp_path / "rows.jsonl"
    path.write_text((json.dumps({"messages": MESSAGES}) + "\n") * 40)

    artifact = example("switch_backend").main(str(path), backend.name, out=str(tmp_path / "out"))

    assert ("adapter", 1) == (artifact.kind, len(service.jobs))
    assert "compute.quantization: Together chooses" in capsys.readouterr().out
