"""Stored responses and their bodies: memory over disk. Knows policy's types, none of its rules.

Only the catalogue asks ``policy.freshness`` and ``policy.tags``, for what it shows.
"""
