"""Softmax, losses and their gradients by the scores, for one sample, in plain Python and stable for large scores."""

from collections.abc import Sequence
from math import copysign, exp, fsum, log, log1p

Numbers = Sequence[float]
HUBER_DELTA = 1.0
HINGE_MARGIN = 1.0


def shares(scores: Numbers) -> tuple[float, ...] | None:
    """Each score divided by their sum, which is no softmax; None where the sum is 0.

    >>> shares([3, 1, 0])
    (0.75, 0.25, 0.0)
    """
    total = fsum(scores)
    return tuple(score / total for score in scores) if total else None


def log_softmax(scores: Numbers) -> list[float]:
    """Logarithms of the softmax: s - max - ln(sum of exp(s - max)), which never overflows.

    >>> [round(value, 4) for value in log_softmax([1002, 1001, 1000])]
    [-0.4076, -1.4076, -2.4076]
    """
    largest = max(range(len(scores)), key=scores.__getitem__)
    shifted = [score - scores[largest] for score in scores]
    log_total = log1p(fsum(exp(score) for i, score in enumerate(shifted) if i != largest))  # the largest adds exp(0)
    return [score - log_total for score in shifted]


def sigmoid(score: float) -> float:
    """1 / (1 + exp(-s)), by the exponential of a negative number.

    >>> sigmoid(0.0), sigmoid(-1000.0), sigmoid(1000.0)
    (0.5, 0.0, 1.0)
    """
    small = exp(-abs(score))
    return (1.0 if score >= 0 else small) / (1.0 + small)


def log_sigmoid(score: float) -> float:
    """The logarithm of the sigmoid: min(s, 0) - ln(1 + exp(-|s|))."""
    return min(score, 0.0) - log1p(exp(-abs(score)))


def smoothed(target: Numbers, smoothing: float) -> list[float]:
    """A target distribution of which the share `smoothing` is spread evenly over the K classes.

    >>> smoothed([1, 0], 0.2)
    [0.9, 0.1]
    """
    return [value * (1 - smoothing) + smoothing / len(target) for value in target]


def cross_entropy(log_probabilities: Numbers, target: Numbers, weights: Numbers) -> float:
    """- sum of w t ln p; a class that the target excludes adds nothing, even where its probability is 0."""
    terms = zip(weights, target, log_probabilities, strict=True)
    return 0.0 - fsum(w * t * log_p for w, t, log_p in terms if w * t)


def cross_entropy_gradient(probabilities: Numbers, target: Numbers, weights: Numbers) -> list[float]:
    """The gradient by the scores in front of the softmax: p - t, and with weights p sum(w t) - w t."""
    total = fsum(w * t for w, t in zip(weights, target, strict=True))
    return [p * total - w * t for p, w, t in zip(probabilities, weights, target, strict=True)]


def binary_cross_entropy(log_p: float, log_not_p: float, target: float) -> float:
    """- t ln p - (1 - t) ln(1 - p), where a factor of 0 makes its term 0."""
    return 0.0 - (target * log_p if target else 0.0) - ((1 - target) * log_not_p if target != 1 else 0.0)


def multi_margin(scores: Numbers, true: int) -> tuple[float, list[float]]:
    """Hinge loss of a class: the sum of max(0, 1 - s_true + s_j) over the other classes / K, and its gradient."""
    count = len(scores)
    margins = [0.0 if j == true else max(0.0, HINGE_MARGIN - scores[true] + s) for j, s in enumerate(scores)]
    gradient = [(margin > 0) / count for margin in margins]
    gradient[true] = -fsum(gradient)
    return fsum(margins) / count, gradient


def binary_hinge(score: float, sign: float) -> tuple[float, float]:
    """max(0, 1 - t s) for a target t of -1 or 1, and its slope."""
    margin = HINGE_MARGIN - sign * score
    return (margin, -sign) if margin > 0 else (0.0, 0.0)


def squared_error(value: float, target: float) -> tuple[float, float]:
    """(y - t)² and its slope 2 (y - t)."""
    return (value - target) ** 2, 2 * (value - target)


def absolute_error(value: float, target: float) -> tuple[float, float]:
    """|y - t| and its slope, the sign, which is 0 at 0."""
    error = value - target
    return abs(error), copysign(1.0, error) if error else 0.0


def huber(value: float, target: float) -> tuple[float, float]:
    """(y - t)² / 2 up to a distance of 1, then |y - t| - 1/2; and its slope, the error limited to [-1, 1]."""
    error = value - target
    if abs(error) <= HUBER_DELTA:
        return error**2 / 2, error
    return HUBER_DELTA * (abs(error) - HUBER_DELTA / 2), copysign(HUBER_DELTA, error)


def logarithms(probabilities: Numbers) -> list[float]:
    """Natural logarithms, -inf for 0."""
    return [log(p) if p else float("-inf") for p in probabilities]
