"""The adapter of WeCom apps (自建应用): colleagues write to an app of their company."""
