"""The company's knowledge: documents, chunks, vectors and search. Knows nothing of the bot."""
