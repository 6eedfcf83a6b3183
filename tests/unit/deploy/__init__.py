"""What is under deploy/, as far as it can be proven without a cluster."""
