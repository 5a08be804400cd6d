"""`loss`: from options to losses, probabilities and gradients."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import exp, fsum

from dlnotes_cli.lessons.loss import formulas
from dlnotes_cli.lessons.loss.checks import check_options, usual_loss
from dlnotes_cli.lessons.loss.explanation import explained
from dlnotes_cli.lessons.loss.options import LossConfig, LossName
from dlnotes_cli.lessons.loss.results import LossResult, SampleLoss, Target
from dlnotes_cli.lessons.loss.samples import read_samples
from dlnotes_cli.shell.errors import InputError

Elementwise = Callable[[float, float], tuple[float, float]]  # value and target to loss and slope
_ELEMENTWISE: dict[str, Elementwise] = {
    "mse": formulas.squared_error,
    "mae": formulas.absolute_error,
    "huber": formulas.huber,
    "hinge": formulas.binary_hinge,
}
_COURSE_SCORES = (2.0, 1.0, 0.0)
_COURSE_CORRECTION = (
    "the course's 0.67, 0.33, 0 are the scores 2, 1, 0 divided by their sum (share), which is no softmax: it gives "
    "zeros, and fails for negative scores"
)


def calculate_loss(config: LossConfig) -> LossResult:
    """Losses, probabilities and gradients of the rows of a config. Raises InputError where they do not fit."""
    rows = read_samples(config)
    loss = config.loss or usual_loss(config, rows)
    check_options(config, loss, rows)
    true: Sequence[Target] = rows.true if rows.true is not None else [None] * len(rows.values)
    samples = [_sample(config, loss, values, t) for values, t in zip(rows.values, true, strict=True)]
    has_softmax = any(sample.shares is not None and sample.values == _COURSE_SCORES for sample in samples)
    notes = (_COURSE_CORRECTION,) if has_softmax else ()
    result = LossResult(config, loss, rows.classes, tuple(samples), notes=notes)
    if loss is not None:
        result = _reduced(result, _weights(config, len(rows.classes)))
    elif config.probabilities is not None:
        result = replace(result, negative_log_likelihood=_negative_log([p for row in rows.values for p in row]))
    return replace(result, formulas=explained(result)) if config.explain else result


def _weights(config: LossConfig, count: int) -> tuple[float, ...]:
    return config.class_weights or (1.0,) * count


def _sample(config: LossConfig, loss: LossName | None, values: tuple[float, ...], true: Target) -> SampleLoss:
    """One row with its losses and the gradient of their sum."""
    sample = SampleLoss(values, true)
    if config.scores is not None and loss in {None, "cross-entropy"}:
        log_p = formulas.log_softmax([value / (config.temperature or 1.0) for value in values])
        sample = replace(sample, shares=formulas.shares(values), log_probabilities=tuple(log_p))
    elif loss == "nll" and config.scores is not None:
        sample = replace(sample, log_probabilities=values)
    elif config.probabilities is not None:
        sample = replace(sample, probabilities=values, log_probabilities=tuple(formulas.logarithms(values)))
    if sample.probabilities is None and sample.log_probabilities is not None:
        sample = replace(sample, probabilities=tuple(map(exp, sample.log_probabilities)))
    if loss in {"cross-entropy", "nll"}:
        return _by_logarithms(config, loss, sample)
    if loss == "bce":
        return _binary(config, sample)
    if loss == "hinge" and isinstance(true, int):
        value, gradient = formulas.multi_margin(values, true)
        return replace(sample, targets=_one_hot(true, len(values)), losses=(value,), gradient=tuple(gradient))
    return sample if loss is None else _by_element(loss, sample)


def _one_hot(true: int, count: int) -> tuple[float, ...]:
    return tuple(float(i == true) for i in range(count))


def _by_logarithms(config: LossConfig, loss: LossName, sample: SampleLoss) -> SampleLoss:
    """Cross-entropy and nll of a row."""
    count = len(sample.values)
    targets: Sequence[float] = _one_hot(sample.true, count) if isinstance(sample.true, int) else sample.true or ()
    targets = formulas.smoothed(targets, config.label_smoothing or 0.0)
    weights = _weights(config, count)
    value = formulas.cross_entropy(sample.log_probabilities or (), targets, weights)
    _check_finite(value)
    if loss == "nll" and config.scores is not None:  # the scores are logarithms: no softmax in front
        gradient = [0.0 - w * t for w, t in zip(weights, targets, strict=True)]  # 0, not -0
    else:
        scale = config.temperature or 1.0
        gradient = formulas.cross_entropy_gradient(sample.probabilities or (), targets, weights)
        gradient = [slope / scale for slope in gradient]
    return replace(sample, targets=tuple(targets), losses=(value,), gradient=tuple(gradient))


def _binary(config: LossConfig, sample: SampleLoss) -> SampleLoss:
    """Binary cross-entropy of each number in a row."""
    targets = sample.true if isinstance(sample.true, tuple) else ()
    if config.probabilities is not None:
        probabilities = list(sample.values)
        pairs = list(
            zip(formulas.logarithms(probabilities), formulas.logarithms([1 - p for p in probabilities]), strict=True)
        )
    else:
        scores = [value / (config.temperature or 1.0) for value in sample.values]
        probabilities = list(map(formulas.sigmoid, scores))
        pairs = [(formulas.log_sigmoid(score), formulas.log_sigmoid(-score)) for score in scores]
    losses = [formulas.binary_cross_entropy(*pair, t) for pair, t in zip(pairs, targets, strict=True)]
    _check_finite(fsum(losses))
    scale = config.temperature or 1.0
    return replace(
        sample,
        targets=targets,
        probabilities=tuple(probabilities),
        log_probabilities=tuple(log_p for log_p, _ in pairs),
        losses=tuple(losses),
        gradient=tuple((p - t) / scale for p, t in zip(probabilities, targets, strict=True)),
    )


def _by_element(loss: LossName, sample: SampleLoss) -> SampleLoss:
    targets = sample.true if isinstance(sample.true, tuple) else ()
    pairs = [_ELEMENTWISE[loss](value, t) for value, t in zip(sample.values, targets, strict=True)]
    losses, gradient = zip(*pairs, strict=True)
    return replace(sample, targets=targets, losses=losses, gradient=gradient)


def _check_finite(value: float) -> None:
    if value == float("inf"):
        what = "what happened has probability 0, so that the loss is infinite"
        raise InputError("--probabilities", what, "use a probability above 0")


def _negative_log(factors: Sequence[float]) -> float:
    """- ln of the product of probabilities."""
    value = -fsum(formulas.logarithms(factors))
    _check_finite(value)
    return value


def _reduced(result: LossResult, weights: tuple[float, ...]) -> LossResult:
    """The result with mean, sum and likelihood, and the gradient of the reduced loss."""
    losses = [loss for sample in result.samples for loss in sample.losses or ()]
    classes = [sample.true for sample in result.samples if isinstance(sample.true, int)]
    denominator = fsum(weights[true] for true in classes) if classes else float(len(losses))
    if not denominator:
        raise InputError("--class-weights", "the weights of the true classes are 0", "use weights above 0")
    total = fsum(losses)
    scale = denominator if result.config.reduction == "mean" else 1.0
    samples = tuple(
        replace(sample, gradient=tuple(slope / scale for slope in sample.gradient or ())) for sample in result.samples
    )
    reduced = replace(result, samples=samples, mean=total / denominator, sum=total)
    return replace(reduced, negative_log_likelihood=_true_negative_log_likelihood(reduced))


def _true_negative_log_likelihood(result: LossResult) -> float | None:
    """- ln of the probability of the true classes, for losses whose targets are classes, or 0 and 1."""
    terms: list[float] = []
    for sample in result.samples:
        if result.loss == "bce" and sample.losses and set(sample.targets or ()) <= {0.0, 1.0}:
            terms += sample.losses
        elif isinstance(sample.true, int) and sample.log_probabilities:
            terms.append(-sample.log_probabilities[sample.true])
        else:
            return None
    return fsum(terms)
