"""Compare Mien with other systems that estimate age, gender or emotion, each with its own detector and weights."""
