"""Proofs over the device's pure parts."""
