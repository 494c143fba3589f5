"""What is shown about speed: ratios measured side by side in one run, never by a timed test."""
