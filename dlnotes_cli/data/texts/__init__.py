"""Labeled texts: tables and folders of them, an embedded set, tokens, n-grams and padded batches."""
