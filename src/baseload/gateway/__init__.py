"""One endpoint in front of every upstream. Acts. Read `chat.py` first."""
