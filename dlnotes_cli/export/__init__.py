"""`dlnotes export`: a trained model as a file for other programs, with proof that it answers the same."""
