"""A constant-velocity Kalman filter in any number of dimensions: frozen values and pure functions.

Formulas: Y. Bar-Shalom, X. R. Li, T. Kirubarajan, *Estimation with Applications to Tracking and Navigation* (Wiley,
2001): the filter in section 5.2, its consistency in 5.4, and the motion model (continuous white-noise acceleration)
in 6.2.2. That model is the one whose prediction does not depend on how often it is asked, which frames that come
when they come need.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.geometry import Vector

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """What is believed of a moving point: a Gaussian over ``n`` positions, then their ``n`` velocities."""

    mean: Vector
    """``(2n,)``: positions, then velocities per second."""
    covariance: Matrix
    """``(2n, 2n)``, symmetric and positive definite."""

    @property
    def size(self) -> int:
        """The number of dimensions ``n``."""
        return len(self.mean) // 2

    @property
    def position(self) -> Vector:
        """The mean position, ``(n,)``."""
        return self.mean[: self.size]

    @property
    def velocity(self) -> Vector:
        """The mean velocity, ``(n,)``."""
        return self.mean[self.size :]

    @property
    def sigma(self) -> Vector:
        """One standard deviation of each position, then of each velocity, ``(2n,)``."""
        return np.sqrt(np.diagonal(self.covariance))


def begin(measured: Vector, noise: Matrix, speed: Vector) -> Belief:
    """Believe one measured position, at rest give or take ``speed`` (one sigma per axis)."""
    size = len(measured)
    covariance = np.zeros((2 * size, 2 * size))
    covariance[:size, :size] = noise
    covariance[size:, size:] = np.diag(np.square(speed))
    return Belief(np.concatenate([measured, np.zeros(size)]), covariance)


def predict(belief: Belief, seconds: float, agility: Vector) -> Belief:
    """Look ahead by ``seconds``.

    ``agility`` is the spectral density of the acceleration per axis, ``(n,)`` in units²/s³: after one second of
    it the velocity has wandered by ``sqrt(agility)`` (one sigma).
    """
    unit = np.eye(belief.size)
    transition = np.block([[unit, seconds * unit], [0 * unit, unit]])
    steps = np.array([[seconds**3 / 3, seconds**2 / 2], [seconds**2 / 2, seconds]])
    covariance = transition @ belief.covariance @ transition.T + np.kron(steps, np.diag(agility))
    return Belief(transition @ belief.mean, _symmetric(covariance))


def surprise(belief: Belief, measured: Vector, noise: Matrix) -> float:
    """The squared Mahalanobis distance of a measured position from the one believed.

    Chi-square distributed with ``n`` degrees of freedom if both are what they claim to be.
    """
    residual = measured - belief.position
    return float(residual @ np.linalg.solve(_spread(belief, noise), residual))


def update(belief: Belief, measured: Vector, noise: Matrix) -> Belief:
    """Take in a measured position ``(n,)`` with its covariance ``(n, n)``.

    The covariance is updated in Joseph's form, which keeps it positive definite in floating point.
    """
    size = belief.size
    gain = np.linalg.solve(_spread(belief, noise), belief.covariance[:size]).T
    keep = np.eye(2 * size)
    keep[:, :size] -= gain
    mean = belief.mean + gain @ (measured - belief.position)
    return Belief(mean, _symmetric(keep @ belief.covariance @ keep.T + gain @ noise @ gain.T))


def _spread(belief: Belief, noise: Matrix) -> Matrix:
    """The covariance of the difference between a measurement and the prediction."""
    return np.asarray(belief.covariance[: belief.size, : belief.size] + noise)


def _symmetric(matrix: Matrix) -> Matrix:
    return np.asarray((matrix + matrix.T) / 2)
