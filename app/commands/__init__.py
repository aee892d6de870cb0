"""What the commands do; `app.cli` says how they are typed. Each returns an exit code."""
