"""A fleet of phones on virtual time, and the audit of what became of their events."""
