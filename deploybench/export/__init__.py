"""Export: the parent plans, verifies and publishes; each export runs in a child process of its
own."""
