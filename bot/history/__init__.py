"""What is kept: the tables, the database behind them, and what the rest of the house may ask of it."""
