"""The slow plain twin of how a law is fitted: whole matrices, one problem at a time."""

import numpy as np

from analysis.scaling.solving.solver import curvature_parts, losses


def solve(model, observations, start, lower, upper, loss="huber", max_steps=200):
    """Levenberg-Marquardt with P x P normal equations, written out; returns theta, (P,)."""
    runs = np.eye(len(np.unique(observations.cells)))[observations.cells]  # (n, C)
    values, weights = observations.values[0], observations.weights[0]
    scale, theta, damping = observations.scale, np.clip(start, lower, upper), 1e-3

    def look(theta):
        expected, slopes = (part[0] for part in model(theta[None]))
        z = (values - runs @ expected) / scale
        loss_of_runs, weight = losses(z, loss)
        return weights @ loss_of_runs, z, weights * weight, (runs @ slopes) / scale[:, None]

    total, z, weight, rows = look(theta)
    for _ in range(max_steps):
        gradient, curvature = rows.T @ (weight * z), rows.T @ (weight[:, None] * rows)
        is_held = ((theta <= lower) & (gradient < 0)) | ((theta >= upper) & (gradient > 0))
        free, step = np.flatnonzero(~is_held), np.zeros(len(theta))
        damped = curvature + np.diag(damping * np.diagonal(curvature) + 1e-12)
        step[free] = np.linalg.solve(damped[np.ix_(free, free)], gradient[free])
        trial = np.clip(theta + step, lower, upper)
        trial_total, *trial_rest = look(trial)
        if trial_total > total:
            damping *= 8
            continue
        is_done = total - trial_total <= 1e-12 * total
        theta, total, (z, weight, rows), damping = trial, trial_total, trial_rest, damping / 5
        if is_done:
            break
    return theta


class Projection:
    """What a fit takes out of residuals, with n x n matrices."""

    def __init__(self, model, observations, theta, loss, clusters):
        expected, slopes = (part[0] for part in model(theta[None]))
        self.z = (observations.values[0] - expected[observations.cells]) / observations.scale
        root = np.sqrt(curvature_parts(self.z, loss))
        rows = slopes[observations.cells] / observations.scale[:, None] * root[:, None]
        inverse = np.linalg.pinv(rows.T @ rows)
        self.influence = rows @ inverse
        self.clusters = clusters
        left = np.eye(len(rows)) - rows @ inverse @ rows.T
        self.factor = np.zeros_like(left)
        for cluster in np.unique(clusters):
            members = np.ix_(*2 * [np.flatnonzero(clusters == cluster)])
            values, vectors = np.linalg.eigh(left[members])
            self.factor[members] = (vectors / np.sqrt(np.maximum(values, 1e-3))) @ vectors.T
        self.remainder = self.factor @ left @ self.factor

    def residuals(self):
        """Enlarged, standardised."""
        return self.factor @ self.z

    def degrees_of_freedom(self, gradient):
        parts = self.influence @ gradient
        weighted = parts[:, None] * self.remainder * parts
        members = (self.clusters[:, None] == np.unique(self.clusters)).astype(float)
        matrix = members.T @ weighted @ members
        return max(np.trace(matrix) ** 2 / (matrix**2).sum(), 1.0)
