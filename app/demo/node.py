"""A mail node of the demo: SMTP by aiosmtpd, a few lines of IMAP over TLS. Not a mail server.

python -m mailward.app.demo.node NAME ADDRESS SMTP_PORT IMAPS_PORT CERTIFICATE_AND_KEY
"""

import asyncio
import re
import ssl
import sys
from functools import partial

from aiosmtpd.smtp import SMTP

USER, PASSWORD = "canary@demo.test", "canary"
_IDLE_S = 180.0
_LINE_LIMIT = 4096


class _Discard:
    """Accepts every recipient and forgets the message."""

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:
        return "250 OK"


async def imap(name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One IMAP connection: CAPABILITY, LOGIN, SELECT, EXAMINE, NOOP, LOGOUT."""
    writer.write(f"* OK [CAPABILITY IMAP4rev1] {name} ready\r\n".encode())
    logged_in = False
    try:
        while line := await asyncio.wait_for(reader.readline(), _IDLE_S):
            tag, _, rest = line.decode("ascii", "replace").strip().partition(" ")
            verb, _, arguments = rest.partition(" ")
            verb = verb.upper()
            if verb == "LOGIN":
                given = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', arguments)
                logged_in = [quoted or plain for quoted, plain in given] == [USER, PASSWORD]
            writer.write(_answer(tag, verb, logged_in))
            await asyncio.wait_for(writer.drain(), _IDLE_S)
            if verb == "LOGOUT":
                break
    except (OSError, TimeoutError, ValueError):
        pass
    finally:
        writer.close()


def _answer(tag: str, verb: str, logged_in: bool) -> bytes:
    if verb == "CAPABILITY":
        return f"* CAPABILITY IMAP4rev1\r\n{tag} OK done\r\n".encode()
    if verb == "NOOP":
        return f"{tag} OK done\r\n".encode()
    if verb == "LOGIN":
        return f"{tag} OK logged in\r\n".encode() if logged_in else f"{tag} NO wrong password\r\n".encode()
    if verb in ("SELECT", "EXAMINE") and logged_in:
        return f"* 0 EXISTS\r\n* OK [UIDVALIDITY 1] ok\r\n{tag} OK [READ-ONLY] done\r\n".encode()
    if verb == "LOGOUT":
        return f"* BYE bye\r\n{tag} OK done\r\n".encode()
    return f"{tag} BAD not here\r\n".encode()


async def serve(name: str, address: str, smtp_port: int, imaps_port: int, certificate: str) -> None:
    """Serve until killed."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    smtp = await loop.create_server(
        lambda: SMTP(_Discard(), hostname=name, loop=loop), address, smtp_port, reuse_address=True
    )
    imaps = await asyncio.start_server(partial(imap, name), address, imaps_port, ssl=tls, limit=_LINE_LIMIT)
    async with smtp, imaps:
        await asyncio.gather(smtp.serve_forever(), imaps.serve_forever())


if __name__ == "__main__":
    _name, _address, _smtp, _imaps, _certificate = sys.argv[1:]
    asyncio.run(serve(_name, _address, int(_smtp), int(_imaps), _certificate))
