"""Which documents are held out of training."""

import hashlib

HELDOUT_PER_MILLE = 40


def held_out(document_id):
    """Whether a document is kept from training, to measure on.

    The rule looks at the id alone, so it needs no list, does not depend on the order of the files
    and is the same in any language: the first 8 bytes of sha256(id as UTF-8), read as a big-endian
    unsigned number, modulo 1000, is below HELDOUT_PER_MILLE.
    """
    digest = hashlib.sha256(document_id.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") % 1000 < HELDOUT_PER_MILLE
