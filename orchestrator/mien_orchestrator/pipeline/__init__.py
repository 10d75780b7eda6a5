"""The pipeline of a request, independent of the transport."""
