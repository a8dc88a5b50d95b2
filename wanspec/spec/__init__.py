"""The spec language: text -> Jobs, and Jobs -> Problems. Pure: files are read by whoever calls."""
