"""Quadratic regression: y is a line in x and, `scale` times as steep, in its squares."""

import torch

from looped import Task, TaskSetting
from looped.evaluation.baselines import least_squares


class Quadratic(Task):
    title = "quadratic regression (scale {scale})"
    settings = (TaskSetting(name="scale", default=1.0, help="the squares' share, beside the line"),)

    def features(self, xs):
        squares = (xs**2 - 1) / 2**0.5  # mean 0, variance 1
        return torch.cat([xs, self.config.scale * squares], dim=-1)

    def draw(self, draws, batch):
        return draws.normal(batch, 2 * self.n_dims)

    def evaluate(self, params, xs):
        y = torch.einsum("bpf,bf->bp", self.features(xs), params)
        return y / (self.n_dims * (1 + self.config.scale**2)) ** 0.5  # variance 1

    def bayes(self, xs, ys):
        return least_squares(self.features(xs), ys)
