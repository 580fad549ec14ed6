"""Foundations: optimisers, stochastic processes and relaxations."""
