"""What translations from a spec share: the ledger of fields, checks of the model, where a model comes from."""
