"""What Together can do with one model, and which batches follow from it."""

from pydantic import BaseModel, ConfigDict


class _ServiceData(BaseModel):
    """The service's data: keys that we do not use, or that are not there, break nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Batches(_ServiceData):
    """The legal native batch sizes of one type of training."""

    min_batch_size: int = 1
    max_batch_size: int = 1
    max_batch_size_dpo: int = 0
    """0: the same as for SFT."""

    def span(self, method: str) -> tuple[int, int]:
        """The smallest and the largest legal size."""
        highest = (method == "dpo" and self.max_batch_size_dpo) or self.max_batch_size
        return max(1, min(self.min_batch_size, highest)), max(1, highest)


class LoRABatches(Batches):
    """The limits of LoRA training."""

    max_rank: int | None = None
    target_modules: tuple[str, ...] = ()


class Limits(_ServiceData):
    """The answer of ``/v1/fine-tunes/models/limits``; None where the service does not say."""

    lora_training: LoRABatches = LoRABatches()
    full_training: Batches | None = None
    supports_full_training: bool | None = None
    supports_tools: bool = True
    supports_reasoning: bool = True
    supports_vision: bool = False
    min_learning_rate: float | None = None
    max_learning_rate: float | None = None
    max_num_epochs: int | None = None
    max_num_evals: int | None = None
    max_num_checkpoints: int | None = None
    min_max_seq_length: int | None = None
    max_seq_length_sft: int | None = None
    max_seq_length_dpo: int | None = None

    @property
    def trains_fully(self) -> bool:
        """Whether every weight can train; where it cannot, its limits are reported as zero."""
        # A model without full training is reported in two ways: by its flag, or by limits of zero.
        if self.full_training is None or self.full_training.max_batch_size < 1:
            return False
        return self.supports_full_training is not False

    def batches(self, *, lora: bool) -> Batches:
        """The limits of LoRA training, or of full training."""
        return self.lora_training if lora or self.full_training is None else self.full_training


def split_batch(batch: int, span: tuple[int, int]) -> tuple[int, int] | None:
    """The largest legal native batch that divides a global batch, and how many of it make one step."""
    low, high = span
    sizes = (size for size in range(min(high, batch), low - 1, -1) if batch % size == 0)
    return next(((size, batch // size) for size in sizes), None)


def nearest_batches(batch: int, span: tuple[int, int]) -> list[int]:
    """The nearest global batches that are possible: below, where there is one, and above."""
    below = next((size for size in range(batch - 1, 0, -1) if split_batch(size, span)), None)
    above = next(size for size in range(batch + 1, batch + span[0] + 1) if split_batch(size, span))
    return [size for size in (below, above) if size is not None]
