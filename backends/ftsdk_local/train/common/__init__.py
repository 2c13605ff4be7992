"""What every method shares: arguments, batch sizing, callbacks, checkpoints, export."""
