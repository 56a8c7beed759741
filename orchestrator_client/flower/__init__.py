"""Runs inside Flower: lists, pages of runs, and limits, beside its own pages. No other room imports Flower."""
