"""`client video`: a file, a stream or a camera in; tracks, JSON, an annotated video and a plot out."""
