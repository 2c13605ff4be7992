"""Read Axolotl's files: the other direction of ``translate``."""

from typing import ClassVar

from ftsdk.importers.importer import Importer, Keys, Sheet
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

    def read(self, sheet: Sheet) -> None:
        """Set the fields of the spec."""
        model, method = read_model(sheet), read_method(sheet)
        read_adapter(sheet)
        read_training(sheet)
        read_machine(sheet)
        read_datasets(sheet, method, model)
