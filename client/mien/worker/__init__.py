"""Generated stubs of the messages between orchestrators and workers."""
