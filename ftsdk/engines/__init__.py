"""Foreign engines: an environment for each, runner scripts inside it, and what their backends share."""
