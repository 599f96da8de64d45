"""What the hub knows of projects: its tables, and how the database is opened and brought up to date."""
