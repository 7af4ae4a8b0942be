"""Fitted predictors: what a method leaves behind, what it needs to answer again, and the folder it is kept in."""
