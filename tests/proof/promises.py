"""What this server promises: the rows of the table in `docs/promises.md`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Promise(NamedTuple):
    """One promise.

    Attributes:
        what: as a sentence to its users.
        how: it is tested.
    """

    what: str
    how: str


PROMISES: Final[Mapping[str, Promise]] = {
    "R1": Promise(
        "What a `checkpoint` event told survives a crash, always. On a healthy disk at most the operations of one "
        "interval, or some 50, are forgotten, and authors send them again",
        "a server process killed with SIGKILL at a random moment under clients that trust only what they heard; the "
        "state floor in simulated time with a simulated disk",
    ),
    "R2": Promise(
        "With a journal no acknowledged operation is lost, and nobody ever read a version that a crash takes back",
        "the same, and processes that kill themselves before, in and after a commit",
    ),
    "R3": Promise(
        "A loss of power costs no more than a crash",
        "system calls counted: a sync for each commit; syncs that fail, on a disk that forgets; write-ahead logs cut "
        "and with flipped bits",
    ),
    "R4": Promise(
        "A failing disk stops nobody from reading and editing, is told at once, and is mended without a restart",
        "full, bounded, locked, read-only, vanished and failing disks under a running server, mended or killed",
    ),
    "R5": Promise(
        "A damaged database is never taken for an empty one, and never overwritten",
        "random flips and cuts of its files, then a start",
    ),
    "R6": Promise("One server for each data folder", "a second one started beside it; a start after kill -9"),
    "R7": Promise(
        "A version never names two texts", "every test of crashes keeps the hash of each version over all restarts"
    ),
    "R8": Promise("Files that are written are old or new, never torn", "kill -9 while a file is written"),
    "R9": Promise(
        "A backup is of one moment: beside a running server, whole or not there, and it restores whole or not at all",
        "backups under writers, each restored and compared with the history; backups and restores killed at every step,"
        " on full disks, and with flipped bits",
    ),
    "R10": Promise(
        "Each canvas is linearizable: outcomes and reads fit one order that respects real time",
        "the histories of client processes, with kills, checked by version; the checker against exhaustive search",
    ),
    "R11": Promise(
        "Each accepted operation has exactly one outcome, and sending it again changes nothing",
        "clients that lose the answer, the stream or both and send again",
    ),
    "R12": Promise(
        "A stream is in order, without doubles or holes, and can be resumed; else it says so with `reset`",
        "streams cut at random bytes and resumed by header and by query, over restarts and evictions",
    ),
    "R13": Promise("Any parser of server-sent events understands the stream", "four parsers, cut at every byte"),
    "R14": Promise(
        "SIGTERM loses nothing, tells everybody and ends within 10 s",
        "at random moments under writers, listeners and uploads, also with a disk that fails",
    ),
    "R15": Promise(
        "A reader that stalls costs a bounded amount of memory, and nobody else waits",
        "readers that never read, or slowly",
    ),
    "R16": Promise("All clients may come back at once", "a restart under many listeners; as many whole snapshots"),
    "R17": Promise("It can run for weeks", "a soak with writers and jobs, and listeners and canvases that come and go"),
    "R18": Promise("Slow and greedy clients are cut", "silent and dripping connections, endless headers and bodies"),
    "R19": Promise(
        "Overload is refused, not suffered: what is accepted gets its outcome", "open-loop load beyond the capacity"
    ),
    "R20": Promise("The event loop never stalls", "a probe in the server under hostile texts, patterns and sizes"),
    "R21": Promise(
        "A crash never buys the same output twice where the provider can be asked again or gone on with",
        "a server that kills itself at every step of a job, a double of the providers that keeps its own books, and "
        "readers that come back: what was billed, told and written is compared",
    ),
    "R22": Promise(
        "A reload or a reconnect never starts, stops or repeats a job", "readers cut at random, late ones, several"
    ),
    "R23": Promise(
        "A job stops within 10 s of its cancel, in every state, whatever its provider does, and leaves nothing behind",
        "cancels in every state, against a double that hangs, drips, ignores who leaves and does not take the cancel",
    ),
    "R24": Promise(
        "Nobody passes the quota, whatever runs at the same time",
        "many starts at once against a quota for few; the laws of the ledger, from two processes too",
    ),
    "R25": Promise(
        "A clock that jumps moves no money and delays no checkpoint: a month that is over is not opened again",
        "a clock that crosses months; a running server whose wall clock jumps there and back, or that stands still",
    ),
    "R30": Promise(
        "No malformed request causes a server error, a hang or a change",
        "requests generated from the OpenAPI document; hostile strings in every field",
    ),
    "R31": Promise("JSON is strict", "the JSON parsing test suite, and what else other parsers let pass"),
    "R32": Promise("Any text but NUL and lone surrogates comes back as it went in", "generated and hostile texts"),
    "R33": Promise("No name leaves its folder, and no id has two spellings", "traversals and odd spellings in names"),
    "R34": Promise("No pattern and no Markdown stalls anybody", "patterns and texts made to stall other engines"),
    "R35": Promise(
        "The preview runs nothing and fetches nothing",
        "payloads that broke other sanitisers, in a real browser that is watched; HTML made of pieces of them",
    ),
    "R36": Promise(
        "A web page of another origin can neither write, spend nor read",
        "every form of request that a page can make, from every site and with every credential, in Chromium, over a "
        "name that leads elsewhere the second time, and over raw sockets; judged by what the server did",
    ),
    "R37": Promise(
        "A secret appears nowhere but in the one place it belongs to",
        "canaries in every slot of a server at debug level, with refusals, a planted bug and a kill; all it ever said "
        "or wrote is searched",
    ),
    "R38": Promise(
        "Rights hold everywhere, and end with what gave them",
        "every route against every kind of caller, by a policy that is stated apart; streams and uploads whose token, "
        "user, role or share is taken away, from another process too",
    ),
    "R39": Promise(
        "An agent that obeys every instruction it reads does bounded harm",
        "one that is let loose on canvases, presets and answers full of orders; then all of it is reverted",
    ),
    "R40": Promise(
        "A provider is reached at its configured address only: nothing link-local, no metadata, no redirect, no other "
        "host gets the key",
        "names that change between check and connect, addresses in all spellings, redirects, certificates of others, "
        "addresses put into requests and presets; every `connect` of the interpreter is heard",
    ),
}
