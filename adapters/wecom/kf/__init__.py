"""微信客服: customers on WeChat, outside the company."""
