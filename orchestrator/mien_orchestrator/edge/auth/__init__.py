"""Who calls: tokens, JSON Web Tokens, and the limits of each caller."""
