"""The platforms kefu speaks on, one folder each; they do not know one another."""
