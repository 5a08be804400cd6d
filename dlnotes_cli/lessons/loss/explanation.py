"""The formulas of `loss --explain` with the numbers of the first row put in."""

from collections.abc import Iterator
from math import exp, fsum

from dlnotes_cli.lessons.loss.results import LossResult, SampleLoss
from dlnotes_cli.shell.output import number

_MOST_TERMS = 6  # of a sum that is written out
_LARGE_SCORE = 50  # from which the largest score is subtracted first, as the program always does


def explained(result: LossResult) -> list[str]:
    """Lines of formulas for the first row, then the reduction of all rows."""
    sample = result.samples[0]
    return [*_probabilities(result, sample), *_losses(result, sample), *_reduction(result)]


def _probabilities(result: LossResult, sample: SampleLoss) -> Iterator[str]:
    config, p = result.config, sample.probabilities
    if config.scores is None or p is None:
        if result.negative_log_likelihood is not None and result.loss is None:
            factors = [value for one in result.samples for value in one.values]
            yield f"likelihood = {_joined(' * ', map(number, factors))} = {number(result.likelihood)}"
            yield f"-ln {number(result.likelihood)} = {number(result.negative_log_likelihood)}"
        return
    scores = [value / (config.temperature or 1.0) for value in sample.values]
    if config.temperature not in {None, 1.0}:
        quotients = (
            f"{number(value)} / {number(config.temperature)} = {number(score)}"
            for value, score in zip(sample.values, scores, strict=True)
        )
        yield f"scores / temperature: {_joined(', ', quotients)}"
    if result.loss == "bce":
        for score, value in zip(scores, p, strict=True):
            yield f"sigmoid({number(score)}) = 1 / (1 + e^{number(-score)}) = {number(value)}"
    elif result.loss in {None, "cross-entropy"}:
        yield from _softmax(scores, p)


def _softmax(scores: list[float], p: tuple[float, ...]) -> Iterator[str]:
    largest = max(scores)
    if max(map(abs, scores)) > _LARGE_SCORE:
        yield f"subtract the largest score, {number(largest)}, which changes no share and keeps e^s small"
        scores = [score - largest for score in scores]
    powers = list(map(exp, scores))
    total = fsum(powers)
    yield f"total = {_joined(' + ', (f'e^{number(score)}' for score in scores))} = {number(total)}"
    for score, power, value in zip(scores, powers, p, strict=True):
        quotient = f"{number(power)} / {number(total)}"
        yield f"softmax({number(score)}) = e^{number(score)} / total = {quotient} = {number(value)}"


def _losses(result: LossResult, sample: SampleLoss) -> Iterator[str]:
    if sample.losses is None or sample.targets is None:
        return
    numbers = zip(sample.values, sample.targets, strict=True)
    if result.loss in {"cross-entropy", "nll"}:
        yield from _cross_entropy(result, sample)
    elif result.loss == "bce":
        for p, t, loss in zip(sample.probabilities or (), sample.targets, sample.losses, strict=True):
            if t in {0.0, 1.0}:
                yield f"-ln {number(p)} = {number(loss)}" if t else f"-ln(1 - {number(p)}) = {number(loss)}"
            else:
                yield f"-{number(t)} ln {number(p)} - {number(1 - t)} ln {number(1 - p)} = {number(loss)}"
    elif len(sample.losses) == 1 < len(sample.values):
        yield f"hinge = sum of max(0, 1 - true score + score) / {len(sample.values)} = {number(sample.losses[0])}"
    else:
        pattern = {
            "mse": "({y} - {t})² = {loss}", "mae": "|{y} - {t}| = {loss}", "hinge": "max(0, 1 - {t} * {y}) = {loss}",
            "huber": "error {y} - {t}: squared / 2 up to 1, then |error| - 1/2 = {loss}",
        }[str(result.loss)]  # fmt: skip
        for (y, t), loss in zip(numbers, sample.losses, strict=True):
            yield pattern.format(y=number(y), t=number(t), loss=number(loss))


def _cross_entropy(result: LossResult, sample: SampleLoss) -> Iterator[str]:
    p, targets = sample.probabilities or (), sample.targets or ()
    weights = result.config.class_weights or (1.0,) * len(targets)
    terms = [
        f"{'' if w == 1 else f'{number(w)} * '}{'' if t == 1 else f'{number(t)} * '}ln {number(value)}"
        for w, t, value in zip(weights, targets, p, strict=True)
        if t
    ]
    yield f"{result.loss} = -({_joined(' + ', terms)}) = {number((sample.losses or (0.0,))[0])}"
    if result.config.scores is not None and result.loss == "cross-entropy" and result.config.class_weights is None:
        differences = (f"{number(value)} - {number(t)}" for value, t in zip(p, targets, strict=True))
        yield f"gradient = softmax - target = ({_joined(', ', differences)})"


def _reduction(result: LossResult) -> Iterator[str]:
    losses = [loss for sample in result.samples for loss in sample.losses or ()]
    if len(losses) > 1 and result.sum is not None and result.mean is not None:
        yield f"sum = {_joined(' + ', map(number, losses))} = {number(result.sum)}"
        count = result.sum / result.mean if result.mean else len(losses)  # with --class-weights, their sum
        yield f"mean = {number(result.sum)} / {number(count)} = {number(result.mean)}"


def _joined(separator: str, terms: "Iterator[str] | map[str] | list[str]") -> str:
    """Terms with a separator, the later ones of many as dots."""
    texts = list(terms)
    return separator.join(texts if len(texts) <= _MOST_TERMS else [*texts[: _MOST_TERMS - 1], "…"])
