"""Further public collections: the folder as it was published in, rows of a labelled zip out."""
