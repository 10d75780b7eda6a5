"""The path of one request, without a transport."""
