"""Bytes from outside: resolved by apt, pinned in locks, verified before they are used."""
