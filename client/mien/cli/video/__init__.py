"""The command `client video`: analyze a file, a stream or a camera; write JSON, an annotated video and a plot."""
