import psutil
import pytest

from ftsdk.errors import ConfigError
from ftsdk.workers import hardware
from ftsdk.workers.hardware import device

TWO = "0, GPU-aaaa-1, NVIDIA H200, 143771\n1, GPU-bbbb-2, NVIDIA GB10, [N/A]\n"


@pytest.fixture
def two_cards(monkeypatch):
    monkeypatch.setattr(hardware, "_nvidia_smi", lambda: TWO)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_without_a_card_there_is_the_processor(monkeypatch):
    """A machine without the driver's tool trains on its processor, with no more memory than it has."""
    monkeypatch.setattr(hardware.shutil, "which", lambda _: None)

    machine = device()

    assert ("cpu", False, True) == (machine.device, machine.cuda, 0 < machine.memory <= psutil.virtual_memory().total)


def test_the_first_card_is_taken(two_cards):
    """The first card, its product name, and its memory in bytes."""
    assert ("cuda-0", "NVIDIA H200", 143771 * 2**20, "0") == device()


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("1", "cuda-1"),
        ("1,0", "cuda-1"),
        ("GPU-bbbb", "cuda-1"),
        ("", "cpu"),
        ("-1", "cpu"),
        ("7", "cpu"),
        ("MIG-c", "cuda-MIG-c"),
    ],
)
def test_only_visible_cards_count(two_cards, monkeypatch, visible, expected):
    """CUDA_VISIBLE_DEVICES is read as CUDA reads it."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert expected == device().device


def test_a_device_can_be_chosen(two_cards):
    """A card by its number, or the processor."""
    assert ["cuda-1", "cpu"] == [device(name).device for name in ("cuda-1", "cpu")]


def test_a_missing_device_is_an_error(two_cards):
    """The error names the device."""
    with pytest.raises(ConfigError, match="cuda-7"):
        device("cuda-7")


def test_a_card_without_memory_of_its_own_has_the_machines(two_cards):
    """Cards that share the main memory show none of their own."""
    assert psutil.virtual_memory().total == device("cuda-1").memory


def test_a_broken_driver_is_no_card(monkeypatch, tmp_path):
    """A driver's tool that fails, or prints something else, means that there is no card."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho NVIDIA-SMI has failed\nexit 9\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    assert "cpu" == device().device
