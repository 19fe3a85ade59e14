"""Tuning: a recipe's numbers searched by Optuna, on the held-out runs."""

OUTCOME = "tuning.json"
"""The file of a search's outcome."""
