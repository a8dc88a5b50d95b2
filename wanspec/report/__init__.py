"""Views: problems, plans and states as text or data for people and programs. Nothing here decides anything."""
