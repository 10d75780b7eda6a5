"""Convert further public collections, in their published layout, to rows of a labelled zip."""
