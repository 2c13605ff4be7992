"""The ledger with the names that its methods had."""

from ftsdk.backend import PlanNote
from ftsdk.translation import ledger


class Ledger(ledger.Ledger):
    """:class:`ftsdk.translation.ledger.Ledger` for backends that were written for ``ftsdk.kit``."""

    take = ledger.Ledger.use
    leave = ledger.Ledger.ignore
    hold_to = ledger.Ledger.require_values
    withhold = ledger.Ledger.refuse_unsendable
    set_advice_aside = ledger.Ledger.ignore_advice
    is_given = ledger.Ledger.is_set

    @property
    def own(self) -> list[PlanNote]:
        """Fields that the system decides by itself."""
        return self.backend_defaults
