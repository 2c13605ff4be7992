"""Our plugin in Axolotl: it gives the rows as tokens, hands over what has no key, compares, and records.

It stands beside Axolotl in its own Python, and works in the job's folder.
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
    """Hears of each stage of Axolotl's."""

    def __init__(self) -> None:
        super().__init__()
        request = json.loads(Path("request.json").read_text("utf-8"))
        self._arguments: dict[str, Any] = request["arguments"]

    def load_datasets(self, cfg: Any, preprocess: bool = False) -> TrainDatasetMeta:  # noqa: ARG002
        """The rows, as our runner wrote them; no length and no label is looked at again, and Trainer counts steps."""
        found = datasets.load_from_disk(tokens.FOLDER)
        return TrainDatasetMeta(found["train"], found.get("validation"), total_num_steps=None)

    def get_training_args(self, cfg: Any) -> dict[str, Any]:  # noqa: ARG002
        """What Axolotl has no key for."""
        return self._arguments

    def pre_lora_load(self, cfg: Any, model: Any) -> None:  # noqa: ARG002
        """Begin with the seed: Axolotl sows only when it trains."""
        set_seed(cfg.seed)

    def post_model_load(self, cfg: Any, model: Any) -> None:
        """Begin with the seed again, for where TRL makes the adapter; and let a new head have no opinion at first."""
        set_seed(cfg.seed)
        if cfg.reward_model and not any(map(_scores, _base_of(cfg).architectures or ())):
            for name, weight in model.named_parameters():
                if "score" in name.split("."):
                    weight.data.zero_()

    def post_model_build(self, cfg: Any, model: Any) -> None:
        """Where probabilities of the same tokens are compared, let dropout stay in the adapter alone."""
        if cfg.rl:
            disable_dropout_in_model(model)

    def post_train(self, cfg: Any, model: Any) -> None:
        """Save a whole model in the precision that its base came in, and ready to generate."""
        if not cfg.adapter:
            model.to(dtype=_base_of(cfg).dtype)
            model.config.use_cache = True

    def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
        """Compare, before anything is trained, and record from here on.

        What trains is held in float32, as on every backend, and computed with in the job's precision: in bfloat16,
        where Axolotl and TRL hold some of it, the small steps of a low learning rate are lost.

        Raises:
            ValueError: Axolotl took something otherwise.
        """
        for parameter in trainer.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        _average_over_tokens(trainer)
        trainer.args.logging_first_step = False  # Axolotl says otherwise, where it learns from preferences
        config = yaml.safe_load(Path("job.yaml").read_text("utf-8"))
        if other := differences(config, self._arguments, cfg, trainer):
            what = f"Axolotl would train with other settings: {', '.join(other)}"
            raise ValueError(what)
        trainer.add_callback(Recorder())


def _base_of(cfg: Any) -> Any:
    return AutoConfig.from_pretrained(cfg.base_model, trust_remote_code=cfg.trust_remote_code or False)


def _scores(architecture: str) -> bool:
    return architecture.endswith("ForSequenceClassification")


def _average_over_tokens(trainer: Any) -> None:
    """Let a step's loss be the mean over its tokens, however it is cut into batches, as Transformers has it.

    Axolotl takes a model for one that cannot, if its forward does not name the number of tokens among its arguments;
    then short batches would weigh as much as long ones.
    """
    model = trainer.model.get_base_model() if hasattr(trainer.model, "get_base_model") else trainer.model
    if isinstance(trainer, AxolotlTrainer) and model.loss_function is ForCausalLMLoss:
        trainer.model_accepts_loss_kwargs = getattr(model, "accepts_loss_kwargs", True)
