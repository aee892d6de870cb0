"""What the commands do, and what only they need; `app.cli` says how they are typed. A command returns an
exit code.
"""
