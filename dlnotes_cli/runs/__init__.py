"""`dlnotes runs`: training runs listed, compared and replayed."""
