"""Lines out of a byte stream, bounded, and server text made fit to print.

The limits count what the dialogue consumes, not what happens to arrive together, so the outcome does
not depend on how the bytes were cut into packets.
"""

MAX_LINE = 8192
MAX_TOTAL = 65536
LINE_COST = 24
"""What a line counts besides its bytes: thousands of empty ones take time, not room."""


class TooMuch(Exception):
    """The peer sent more than any server has to say."""


class LineBuffer:
    """Collects bytes, gives lines. A line ends with LF; one CR before it is taken off."""

    def __init__(self, max_line: int = MAX_LINE, max_total: int = MAX_TOTAL) -> None:
        self._max_line = max_line
        self._max_total = max_total
        self._consumed = 0
        self._pending = bytearray()

    def feed(self, data: bytes) -> None:
        self._pending += data

    def next(self) -> bytes | None:
        """The next whole line, or None if more bytes are needed. `TooMuch` beyond a limit."""
        room = max(0, min(self._max_line, self._max_total - self._consumed))
        end = self._pending.find(b"\n", 0, room)
        if end < 0:
            if len(self._pending) < room:
                return None
            if room < self._max_line:
                raise TooMuch("it goes on and on without coming to an end")
            raise TooMuch(f"more than {self._max_line} bytes without a line end")
        line = bytes(self._pending[:end])
        del self._pending[: end + 1]
        self._consumed += end + 1 + LINE_COST
        return line.removesuffix(b"\r")

    @property
    def empty(self) -> bool:
        return not self._pending

    def renew(self) -> None:
        """Start counting the total anew (a held connection, after each exchange)."""
        self._consumed = 0

    def drop(self) -> None:
        self._pending.clear()


def printable(raw: bytes, limit: int = 120) -> str:
    """Server text as one short line without control characters."""
    text = raw[: 4 * limit].decode("utf-8", "replace")
    clean = "".join(char if char.isprintable() else "." for char in text)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
