"""DPO, KTO and ORPO, on the trainers of TRL."""
