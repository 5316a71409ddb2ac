"""Measurements that stand behind `docs/results`: programs for a checkout, not part of the package."""
