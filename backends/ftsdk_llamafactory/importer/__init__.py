"""Read LLaMA-Factory's files: the other direction of ``translate``."""

from typing import ClassVar

from ftsdk.importers.importer import ConfigReader, Importer, Keys
from ftsdk_llamafactory.importer.keys import KEYS
from ftsdk_llamafactory.importer.machine import read_machine
from ftsdk_llamafactory.importer.method import read_adapter, read_method, read_model
from ftsdk_llamafactory.importer.rows import read_datasets
from ftsdk_llamafactory.importer.training import read_training

__all__ = ["LlamaFactoryImporter"]


class LlamaFactoryImporter(Importer):
    """Reads what ``llamafactory-cli train`` reads."""

    name: ClassVar[str] = "llamafactory"
    tool: ClassVar[str] = "LLaMA-Factory 0.9.5"
    marks: ClassVar[frozenset[str]] = frozenset({"model_name_or_path", "stage", "finetuning_type", "dataset_dir"})
    keys: ClassVar[Keys] = KEYS

    def read(self, reader: ConfigReader) -> None:
        """Set the fields of the spec."""
        model, stage = read_model(reader), read_method(reader)
        read_adapter(reader)
        read_training(reader, stage)
        read_machine(reader)
        read_datasets(reader, stage, model)
