"""The process that flows live in: its start and end, what it shows of itself, and what ends it when it stands still."""
