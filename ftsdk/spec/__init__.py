"""The job spec: what the user means, in frozen Pydantic models."""

from ftsdk.spec.adapter import LoRA
from ftsdk.spec.base import Section
from ftsdk.spec.compute import Compute
from ftsdk.spec.dataset import Dataset
from ftsdk.spec.job import ADVICE, BOOKKEEPING, JobSpec
from ftsdk.spec.method import DPO, GRPO, KTO, ORPO, PPO, SFT, Method, RewardModeling
from ftsdk.spec.training import Training

__all__ = [
    "ADVICE",
    "BOOKKEEPING",
    "DPO",
    "GRPO",
    "KTO",
    "ORPO",
    "PPO",
    "SFT",
    "Compute",
    "Dataset",
    "JobSpec",
    "LoRA",
    "Method",
    "RewardModeling",
    "Section",
    "Training",
]
