"""The Axolotl backend."""
