"""Draw the faces of an analysis on its picture, with labels that avoid the faces and each other."""
