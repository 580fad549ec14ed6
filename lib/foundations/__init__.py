"""Foundations: derivatives, quadratics, stochastic processes, stochastic approximation, relaxations."""
