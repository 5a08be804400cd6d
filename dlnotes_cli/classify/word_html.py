"""Predictions for texts as an HTML page: each word on a color that says what it contributed."""

from collections.abc import Sequence
from html import escape

from dlnotes_cli.inference.predictions import Prediction, WordContributions
from dlnotes_cli.shell.output import readable

_FOR, _AGAINST = "33, 102, 172", "214, 96, 77"  # red, green and blue of blue and orange, which most people tell apart
_FAINTEST = 0.02  # share of the largest contribution that is colored
_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Which words carried the predictions</title>
<style>
body {{ font: 16px/1.7 sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em; color: #222; background: #fff }}
h2 {{ font-size: 1em; margin: 2em 0 0 }}
span {{ padding: .1em .15em; border-radius: .2em }}
small {{ color: #666 }}
</style>
<h1>Which words carried the predictions</h1>
<p>Blue words speak for the predicted class, orange ones against it, darker ones more. The pointer shows the number.</p>
{items}
</html>
"""


def explanations_html(predictions: Sequence[Prediction]) -> str:
    """The page with the predictions that have an explanation; text from users is escaped."""
    shown = [_item(prediction, words) for prediction in predictions if (words := prediction.explanation) is not None]
    return _PAGE.format(items="\n".join(shown))


def _item(prediction: Prediction, explanation: WordContributions) -> str:
    name, probability = prediction.top[0]
    words = " ".join(
        _word(word, share, value)
        for (word, share), (_, value) in zip(explanation.shares, explanation.words, strict=True)
    )
    unread = f" <small>({explanation.unread:,} more words are not read)</small>" if explanation.unread else ""
    bias = "" if explanation.bias is None else f", bias {explanation.bias:+.3f}"
    title = f"{escape(readable(name))} {probability:.4f}"
    item = escape(readable(prediction.item[:80]))
    details = f"<small>{item}, logit {explanation.logit:+.3f}{bias}</small>"
    return f"<h2>{title} {details}</h2>\n<p>{words}{unread}</p>"


def _word(word: str, share: float, value: float) -> str:
    text = escape(word)
    if abs(share) < _FAINTEST:
        return text
    color = _FOR if share > 0 else _AGAINST
    return f'<span style="background: rgba({color}, {0.75 * abs(share):.2f})" title="{value:+.4f}">{text}</span>'
