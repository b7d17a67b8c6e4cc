"""Stored responses and their bodies: memory over disk. Knows policy's types, none of its rules."""
