"""How long each list of the recorded state may grow: the store has a limit, and so has a reader."""

ENDED = 20
ANSWERS = 50
EPISODES = 40
FENCED_AT = 60
"""At least what `failovers_per_hour` may be, or it would never hold."""
FLAPS = 64
NOTES = 8
MARKS = 24
EXPIRY_MARGIN_S = 2.0
"""After an order's expiry, until nobody waits for its outcome any more."""
OPENING_MARGIN_S = 24.0
"""After an order to open has expired, until it opens nothing any more. Its helper is reached (6) and reads it
(2), waits for its lock once more (10), and sets its firewall (6)."""
DETAIL = 300
"""Characters of any text that came from outside."""
NAMED = 10
"""Nodes that a finding names one by one: nobody reads a thousand."""
MOST_DOUBLINGS = 30
"""Of a wait that doubles each time; its own limit is reached long before."""
