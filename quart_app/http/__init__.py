"""What every route shares: request ids, deadlines, problems, health. Knows no feature."""
