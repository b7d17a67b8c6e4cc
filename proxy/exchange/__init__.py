"""One request and its response: the only place where a decision meets an effect.

``hot`` answers what memory has, at once; ``repeating`` asks an origin again that mostly says the
same, which ``echo`` remembers. Everything else goes through ``exchange``: it asks policy
and does what the answer says, with ``delivery`` (answers from what is at hand) or ``fetching``
(alone, or together through ``flights``). What the origin sends becomes ``arriving`` (freshen what
is stored, store it, or pass it on) or, joined to a part, ``joined``; ``keeping`` pumps it into a
``fill``, which any number of clients read. Policy's ``representation`` and ``voice`` make heads.
"""
