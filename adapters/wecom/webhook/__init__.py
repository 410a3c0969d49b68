"""The adapter of WeCom group robots (群机器人): notices for operators."""
