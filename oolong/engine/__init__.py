"""Stages: what one is, where finished ones lie, how one is made."""
