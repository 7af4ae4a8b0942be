"""Models in private environments: packages that conflict with ours, behind a pipe."""
