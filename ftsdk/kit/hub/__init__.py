"""The Hugging Face Hub, for backends that run or keep something there: repositories, Jobs, Spaces.

A job's way through it: its request and rows go to a private repository in one commit; a Job or a Space runs
``container.py`` on them; what was made comes back as one more commit.
"""
