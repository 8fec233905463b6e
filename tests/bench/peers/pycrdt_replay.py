"""Replays a recorded session with pycrdt: JSON on stdin, `{start, end, splices}`; prints µs of an edit as JSON.

Run by the Python of the peers' own environment.
"""

from __future__ import annotations

import json
import sys
from time import process_time

from pycrdt import Doc, Text  # type: ignore[import-not-found]  # of that environment


def main() -> None:
    """Replay twice: a transaction for each edit, and another document that is told each as an update."""
    session = json.load(sys.stdin)
    splices, updates = session["splices"], list[bytes]()
    quick, author, follower = Doc(), Doc(), Doc()
    began_s = process_time()
    text = edited(quick, session["start"], splices)
    transactions_s = process_time() - began_s
    assert str(text) == session["end"]
    author.observe(lambda event: updates.append(event.update))
    edited(author, session["start"], splices)
    followed = follower.get("text", type=Text)
    began_s = process_time()
    for update in updates:
        follower.apply_update(update)
    updates_s = process_time() - began_s
    assert str(followed) == session["end"]
    told = {"transactions_us": transactions_s / len(splices) * 1e6, "updates_us": updates_s / len(splices) * 1e6}
    print(json.dumps(told))


def edited(doc: Doc, start: str, splices: list[tuple[int, int, str]]) -> Text:
    """Apply edits, each in a transaction."""
    text = doc.get("text", type=Text)
    text += start
    for begin, end, insert in splices:
        with doc.transaction():
            if end > begin:
                del text[begin:end]
            if insert:
                text.insert(begin, insert)
    return text


if __name__ == "__main__":
    main()
