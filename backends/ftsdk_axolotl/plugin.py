"""Our plugin in Axolotl: it loads the rows as tokens, sets what has no key, compares settings, and records.

This module is copied beside Axolotl, into its own Python, and runs in the engine's folder.
"""

import json
from pathlib import Path
from typing import Any

import datasets
import yaml
from axolotl.common.datasets import TrainDatasetMeta
from axolotl.core.trainers import AxolotlTrainer
from axolotl.integrations.base import BasePlugin
from transformers import AutoConfig, set_seed
from transformers.loss.loss_utils import ForCausalLMLoss
from trl.trainer.utils import disable_dropout_in_model

from ftsdk.engines import tokens
from ftsdk.engines.recorder import Recorder
from ftsdk_axolotl.settings import differences


class Plugin(BasePlugin):
    """Axolotl calls it at each of its stages."""

    def __init__(self) -> None:
        super().__init__()
        request = json.loads(Path("request.json").read_text("utf-8"))
        self._arguments: dict[str, Any] = request["arguments"]

    def load_datasets(self, cfg: Any, preprocess: bool = False) -> TrainDatasetMeta:  # noqa: ARG002
        """The rows, as our runner wrote them."""
        # Datasets from here skip Axolotl's own preparation, which would drop long rows and mask anew. Without a number
        # of steps, Trainer counts them.
        splits = datasets.load_from_disk(tokens.FOLDER)
        return TrainDatasetMeta(splits["train"], splits.get("validation"), total_num_steps=None)

    def get_training_args(self, cfg: Any) -> dict[str, Any]:  # noqa: ARG002
        """Trainer's arguments that Axolotl has no key for."""
        return self._arguments

    def pre_lora_load(self, cfg: Any, model: Any) -> None:  # noqa: ARG002
        """Seed the weights of the adapter: Axolotl sets the seed only when it trains."""
        set_seed(cfg.seed)

    def post_model_load(self, cfg: Any, model: Any) -> None:
        """Set the seed again, for where TRL creates the adapter; and set a new score head to zero."""
        # A random head would begin with random rewards, other than on every other backend.
        set_seed(cfg.seed)
        if cfg.reward_model and not any(map(_is_classifier, _base_config(cfg).architectures or ())):
            for name, weight in model.named_parameters():
                if "score" in name.split("."):
                    weight.data.zero_()

    def post_model_build(self, cfg: Any, model: Any) -> None:
        """Switch off dropout in the base for preference methods; the adapter's stays."""
        # These methods compare probabilities of the same tokens, which dropout in the base would change at random.
        if cfg.rl:
            disable_dropout_in_model(model)

    def post_train(self, cfg: Any, model: Any) -> None:
        """Save a full model in the precision of its base, and with the cache that generation needs."""
        if not cfg.adapter:
            model.to(dtype=_base_config(cfg).dtype)
            model.config.use_cache = True

    def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
        """Compare settings before anything is trained, and record from here on.

        Raises:
            ValueError: Axolotl would train with other settings.
        """
        # Trainable weights stay in float32, as on every backend; Axolotl and TRL keep some of them in bfloat16, where
        # the small updates of a low learning rate are rounded away.
        for parameter in trainer.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        _average_over_tokens(trainer)
        trainer.args.logging_first_step = False  # Axolotl sets it for preference methods
        config = yaml.safe_load(Path("job.yaml").read_text("utf-8"))
        # Axolotl ignores unknown keys and changes values, so settings are read back where they take effect.
        if problems := differences(config, self._arguments, cfg, trainer):
            message = f"Axolotl would train with other settings: {', '.join(problems)}"
            raise ValueError(message)
        trainer.add_callback(Recorder())


def _base_config(cfg: Any) -> Any:
    return AutoConfig.from_pretrained(cfg.base_model, trust_remote_code=cfg.trust_remote_code or False)


def _is_classifier(architecture: str) -> bool:
    return architecture.endswith("ForSequenceClassification")


def _average_over_tokens(trainer: Any) -> None:
    """Make a step's loss the mean over its tokens, however it is split into batches, as in Transformers."""
    # Axolotl takes a model for one that cannot, if its forward does not name the number of tokens among its arguments.
    # Then the mean would be over batches, and short ones would weigh as much as long ones.
    model = trainer.model.get_base_model() if hasattr(trainer.model, "get_base_model") else trainer.model
    if isinstance(trainer, AxolotlTrainer) and model.loss_function is ForCausalLMLoss:
        trainer.model_accepts_loss_kwargs = getattr(model, "accepts_loss_kwargs", True)
