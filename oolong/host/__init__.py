"""This machine: processes, sandboxes, files, locks, digests."""
