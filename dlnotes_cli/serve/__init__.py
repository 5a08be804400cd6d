"""`dlnotes serve`: a trained classifier behind HTTP."""
