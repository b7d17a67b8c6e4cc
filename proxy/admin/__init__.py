"""The people with a clipboard: they read finished exchange records."""
