"""Read Axolotl's files: the other direction of ``translate``."""

from typing import ClassVar

from ftsdk.importers.importer import ConfigReader, Importer, Keys
from ftsdk_axolotl.importer.keys import KEYS
from ftsdk_axolotl.importer.machine import read_machine
from ftsdk_axolotl.importer.method import read_adapter, read_method, read_model
from ftsdk_axolotl.importer.rows import read_datasets
from ftsdk_axolotl.importer.training import read_training

__all__ = ["AxolotlImporter"]


class AxolotlImporter(Importer):
    """Reads what ``axolotl train`` reads."""

    name: ClassVar[str] = "axolotl"
    tool: ClassVar[str] = "Axolotl 0.19.0"
    marks: ClassVar[frozenset[str]] = frozenset({"base_model", "datasets", "micro_batch_size", "sequence_len"})
    keys: ClassVar[Keys] = KEYS

    def read(self, reader: ConfigReader) -> None:
        """Set the fields of the spec."""
        model, method = read_model(reader), read_method(reader)
        read_adapter(reader)
        read_training(reader)
        read_machine(reader)
        read_datasets(reader, method, model)
