"""The command `client bench`: load a server and report its latency and throughput."""
