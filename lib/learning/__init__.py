"""Learning machines: linear units, second-order trees, boosting and ensembles."""
