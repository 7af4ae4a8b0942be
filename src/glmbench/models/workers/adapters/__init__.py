"""Adapters that come with glmbench; run by workers in private environments, never imported here."""
