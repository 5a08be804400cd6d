"""`loss`: losses, probabilities and gradients, in plain Python, which starts at once, and stable for large scores."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import copysign, exp, fsum, inf, log, log1p

from dlnotes_cli.lessons.drawings import drawn
from dlnotes_cli.lessons.loss.explanation import explained
from dlnotes_cli.lessons.loss.options import LossConfig, LossName
from dlnotes_cli.lessons.loss.results import LossResult, SampleLoss, Target
from dlnotes_cli.lessons.loss.samples import check_samples, read_samples, usual_loss
from dlnotes_cli.shell.errors import InputError

Numbers = Sequence[float]
_COURSE_SCORES = (2.0, 1.0, 0.0)
_COURSE_CORRECTION = (
    "the course's 0.67, 0.33, 0 are the scores 2, 1, 0 divided by their sum (share), which is no softmax: it gives "
    "zeros, and fails for negative scores"
)


def calculate_loss(config: LossConfig) -> LossResult:
    """Losses, probabilities and gradients of the rows of a config. Raises InputError where they do not fit."""
    rows = read_samples(config)
    loss = config.loss or usual_loss(config, rows)
    check_samples(config, loss, rows)
    weights = config.class_weights or (1.0,) * len(rows.classes)
    true: Sequence[Target] = rows.true if rows.true is not None else [None] * len(rows.values)
    samples = [_sample(config, loss, values, t, weights) for values, t in zip(rows.values, true, strict=True)]
    has_softmax = any(sample.shares is not None and sample.values == _COURSE_SCORES for sample in samples)
    notes = (_COURSE_CORRECTION,) if has_softmax else ()
    result = LossResult(config, loss, config.reduction, rows.classes, tuple(samples), notes=notes)
    if loss is not None:
        result = _reduced(result, weights)
    elif config.probabilities is not None:
        total = _finite(fsum(-log_p for sample in samples for log_p in sample.log_probabilities or ()))
        result = replace(result, likelihood=exp(-total), negative_log_likelihood=total)
    return drawn(replace(result, formulas=explained(result)) if config.explain else result, "loss.plot")


def _sample(
    config: LossConfig, loss: LossName | None, values: tuple[float, ...], true: Target, weights: Numbers
) -> SampleLoss:
    """One row with its losses and the gradient of their sum."""
    scale = config.temperature or 1.0
    scores, shares, log_p = [value / scale for value in values], None, None
    if config.probabilities is not None:
        log_p = [log(p) if p else -inf for p in values]
    elif loss in {None, "cross-entropy"}:
        log_p, total = log_softmax(scores), fsum(values)
        shares = tuple(value / total for value in values) if total else None
    elif loss == "nll":
        log_p = list(values)  # the scores are logarithms
    elif loss == "bce":
        log_p = list(map(log_sigmoid, scores))
    p = values if config.probabilities is not None else None if log_p is None else tuple(map(exp, log_p))
    one_hot = [float(i == true) for i in range(len(values))]
    targets: Numbers = list(true) if isinstance(true, tuple) else one_hot
    losses, gradient = None, None
    if loss in {"cross-entropy", "nll"} and p is not None and log_p is not None:
        smoothing = config.label_smoothing or 0.0
        targets = [t * (1 - smoothing) + smoothing / len(targets) for t in targets]
        terms = zip(weights, targets, log_p, strict=True)
        losses = [_finite(0.0 - fsum(w * t * value for w, t, value in terms if w * t))]
        # The softmax makes it p - t, and with weights p sum(w t) - w t; logarithms as scores have no softmax.
        has_no_softmax = loss == "nll" and config.scores is not None
        total = 0.0 if has_no_softmax else fsum(w * t for w, t in zip(weights, targets, strict=True))
        gradient = [(q * total - w * t) / scale + 0.0 for q, w, t in zip(p, weights, targets, strict=True)]
    elif loss == "bce" and p is not None and log_p is not None:
        log_not_p = [log(1 - q) if q < 1 else -inf for q in p] if config.scores is None else [
            log_sigmoid(-score) for score in scores
        ]  # fmt: skip
        both = zip(log_p, log_not_p, targets, strict=True)
        losses = [0.0 - (t * a if t else 0.0) - ((1 - t) * b if t != 1 else 0.0) for a, b, t in both]
        _finite(fsum(losses))
        gradient = [(q - t) / scale for q, t in zip(p, targets, strict=True)]
    elif loss == "hinge" and isinstance(true, int):
        margins = [max(0.0, 1 - values[true] + value) if i != true else 0.0 for i, value in enumerate(values)]
        losses, gradient = [fsum(margins) / len(values)], [(margin > 0) / len(values) for margin in margins]
        gradient[true] = -fsum(gradient)
    elif loss is not None:
        pairs = [_ELEMENTWISE[loss](value, t) for value, t in zip(values, targets, strict=True)]
        losses, gradient = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    sample = SampleLoss(values, true, None, shares, p, None if log_p is None else tuple(log_p))
    if losses is None or gradient is None:
        return sample
    return replace(sample, targets=tuple(targets), losses=tuple(losses), gradient=tuple(gradient))


def log_softmax(scores: Numbers) -> list[float]:
    """Logarithms of the softmax: s - max - ln(sum of exp(s - max)), which never overflows.

    >>> [round(value, 4) for value in log_softmax([1002, 1001, 1000])]
    [-0.4076, -1.4076, -2.4076]
    """
    largest = max(range(len(scores)), key=scores.__getitem__)
    shifted = [score - scores[largest] for score in scores]
    log_total = log1p(fsum(exp(score) for i, score in enumerate(shifted) if i != largest))  # the largest adds exp(0)
    return [score - log_total for score in shifted]


def log_sigmoid(score: float) -> float:
    """The logarithm of the sigmoid: min(s, 0) - ln(1 + exp(-|s|))."""
    return min(score, 0.0) - log1p(exp(-abs(score)))


def _sign(error: float) -> float:
    return copysign(1.0, error) if error else 0.0


def _huber(value: float, target: float) -> tuple[float, float]:
    """(y - t)² / 2 up to a distance of 1, then |y - t| - 1/2; and its slope, the error limited to [-1, 1]."""
    error = value - target
    return (error**2 / 2, error) if abs(error) <= 1 else (abs(error) - 0.5, _sign(error))


_ELEMENTWISE: dict[str, Callable[[float, float], tuple[float, float]]] = {  # value and target to loss and slope
    "mse": lambda y, t: ((y - t) ** 2, 2 * (y - t)),
    "mae": lambda y, t: (abs(y - t), _sign(y - t)),
    "huber": _huber,
    "hinge": lambda y, sign: (1 - sign * y, -sign) if sign * y < 1 else (0.0, 0.0),
}


def _finite(value: float) -> float:
    if value == inf:
        what = "what happened has probability 0, so that the loss is infinite"
        raise InputError("--probabilities", what, "use a probability above 0")
    return value


def _reduced(result: LossResult, weights: Numbers) -> LossResult:
    """The result with mean, sum and likelihood, and the gradient of the reduced loss."""
    losses = [loss for sample in result.samples for loss in sample.losses or ()]
    classes = [sample.true for sample in result.samples if isinstance(sample.true, int)]
    denominator = fsum(weights[true] for true in classes) if classes else float(len(losses))
    if not denominator:
        raise InputError("--class-weights", "the weights of the true classes are 0", "use weights above 0")
    scale = denominator if result.config.reduction == "mean" else 1.0
    samples = tuple(
        replace(sample, gradient=tuple(slope / scale for slope in sample.gradient or ())) for sample in result.samples
    )
    total, mean = fsum(losses), fsum(losses) / denominator
    is_logarithm = result.loss in {"cross-entropy", "nll", "bce"}
    negative_log = _true_negative_log_likelihood(result)
    return replace(
        result,
        samples=samples,
        value={"mean": mean, "sum": total, "none": None}[result.reduction],
        mean=mean,
        sum=total,
        mean_bits=mean / log(2) if is_logarithm else None,
        sum_bits=total / log(2) if is_logarithm else None,
        likelihood=None if negative_log is None else exp(-negative_log),
        negative_log_likelihood=negative_log,
    )


def _true_negative_log_likelihood(result: LossResult) -> float | None:
    """- ln of the probability of the true classes, for losses whose targets are classes, or 0 and 1."""
    terms: list[float] = []
    for sample in result.samples:
        if result.loss == "bce" and sample.losses and {*(sample.targets or ())} <= {0.0, 1.0}:
            terms += sample.losses
        elif isinstance(sample.true, int) and sample.log_probabilities:
            terms.append(-sample.log_probabilities[sample.true])
        else:
            return None
    return fsum(terms)
