"""WeCom (企业微信): one folder, four channels that share what is theirs together."""
