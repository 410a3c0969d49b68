"""The adapter of WeCom's AI bots (智能机器人): colleagues in group chats and alone with the bot."""
