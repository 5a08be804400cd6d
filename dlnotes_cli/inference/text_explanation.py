"""Which words of a text carry the answer of a classifier."""

from collections import Counter
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlnotes_cli.data.texts.preprocessing import SequencePreprocessing
from dlnotes_cli.data.texts.sequences import encode_texts, normalized, tokenizer_from_json, words_of
from dlnotes_cli.inference.predictions import WordContribution, WordContributions
from dlnotes_cli.inference.text_classifier import LinearTextClassifier, TokenClassifier
from dlnotes_cli.networks.text_rnn import TextRnn


def explain_text(classifier: LinearTextClassifier | TokenClassifier, text: str, label: int) -> WordContributions:
    """The contributions of the words of a text to the class with index `label`."""
    if isinstance(classifier, LinearTextClassifier):
        return _of_linear(classifier, text, label)
    return _of_network(classifier, text, label)


def _of_linear(classifier: LinearTextClassifier, text: str, label: int) -> WordContributions:
    """Weights times TF-IDF. An n-gram shares its contribution among its words, and that among its occurrences."""
    row, sign = (label, 1.0) if len(classifier.weights) > 1 else (0, 1.0 if label else -1.0)
    features = classifier.features([text]).toarray()[0]
    dense, bias = features * classifier.weights[row] * sign, sign * float(classifier.bias[row])
    terms = [*classifier.preprocessing.words, *classifier.preprocessing.characters]
    boundary, used = len(classifier.preprocessing.words), np.flatnonzero(features)
    of_words = {terms[i]: float(dense[i]) for i in used if i < boundary}
    of_characters = {terms[i]: float(dense[i]) for i in used if i >= boundary}
    words, ngrams_of = words_of(text), classifier.tfidf.characters.build_analyzer()
    shares = _shared(words, of_words, of_characters, [list(ngrams_of(word)) for word in words])
    contributions = tuple(map(WordContribution, words, shares.tolist()))
    return WordContributions(classifier.classes[label], contributions, float(dense.sum()) + bias, bias)


def _shared(
    words: list[str], of_words: dict[str, float], of_characters: dict[str, float], inside: list[list[str]]
) -> NDArray[np.float64]:
    """The contribution of each word, from those of the n-grams; `inside` has those of its characters."""
    pairs = [f"{a} {b}" for a, b in pairwise(words)]
    counts = Counter(words) + Counter(pairs)
    character_counts = Counter(term for terms in inside for term in terms)
    shares = np.zeros(len(words))
    for i, word in enumerate(words):
        shares[i] += of_words.get(word, 0.0) / counts[word]
        shares[i] += sum(of_characters.get(term, 0.0) / character_counts[term] for term in inside[i])
    for i, pair in enumerate(pairs):
        shares[i : i + 2] += of_words.get(pair, 0.0) / counts[pair] / 2
    return shares


def _of_network(classifier: TokenClassifier, text: str, label: int) -> WordContributions:
    """Gradient times embedding of each token, summed over the tokens of a word."""
    tokens = encode_texts([text], classifier.preprocessing)
    values, logit = gradient_times_embedding(classifier.cpu_network, tokens.batch(np.zeros(1, np.int64)), label)
    count = int(tokens.lengths[0])
    own = values[len(values) - count :]  # without padding
    words, positions = _words_of_tokens(text, classifier.preprocessing)
    read, unread = positions[:count], len(set(positions[count:]) - set(positions[:count]))
    contributions = np.zeros(len(words))
    np.add.at(contributions, read, own)
    found = tuple(map(WordContribution, words, contributions.tolist()))
    return WordContributions(classifier.classes[label], found, logit, unread=unread)


def gradient_times_embedding(network: TextRnn, tokens: Tensor, label: int) -> tuple[NDArray[np.float64], float]:
    """For each token (1, T) the gradient of a logit times its embedding, (T,); and the logit.

    Of two classes it is the log-odds of the class, which does not depend on a constant in both logits.
    """
    with torch.enable_grad():
        embedded = network.embedding(tokens).detach().requires_grad_()
        logits = network.scores(embedded, network.lengths(tokens))[0]
        value = logits[label] - logits[1 - label] if len(logits) == 2 else logits[label]  # noqa: PLR2004
        (gradient,) = torch.autograd.grad(value, embedded)
    return (gradient * embedded).sum(2)[0].detach().double().numpy(), float(value.detach())


def _words_of_tokens(text: str, preprocessing: SequencePreprocessing) -> tuple[list[str], list[int]]:
    """The words of a text, and for each token the position of its word; a word that is left out has no token."""
    if preprocessing.tokenization == "words":
        words = words_of(text, preprocessing.punctuation)
        known = set(preprocessing.words)
        return words, [i for i, word in enumerate(words) if preprocessing.has_unknown or word in known]
    lowered = normalized(text)
    encoding = tokenizer_from_json(preprocessing.bpe).encode(lowered)
    spans: dict[int, tuple[int, int]] = {}
    for word, (start, stop) in zip(encoding.word_ids, encoding.offsets, strict=True):
        first, last = spans.get(word, (start, stop))
        spans[word] = min(first, start), max(last, stop)
    order = {word: i for i, word in enumerate(spans)}
    words = [lowered[start:stop].strip() for start, stop in spans.values()]
    return words, [order[word] for word in encoding.word_ids]
