"""One Markdown tree, and each platform's dialect of it, split at that platform's limit."""
