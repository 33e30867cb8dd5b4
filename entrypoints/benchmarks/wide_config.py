"""Trainings of a width that no size of the study has."""

from dataclasses import dataclass, replace

from looped.config import TrainConfig
from looped.rules import setting
from looped.sizes import ModelConfig


@dataclass(frozen=True)
class WideConfig(TrainConfig):
    """A training whose size is taken ``n_embd`` wide, its MLP four times as wide as that."""

    n_embd: int = setting(64, "width")

    @property
    def model_config(self) -> ModelConfig:
        shape = super().model_config
        wide_size = replace(shape.size, n_embd=self.n_embd, n_mlp=4 * self.n_embd)
        return replace(shape, size=wide_size)
