// SPDX-License-Identifier: Apache-2.0
// One line of a feed, on both ends (design section 9). A line is an entry (store/entry.h), or a
// progress object:
//
//   {"progress":CURSOR,"topology":version,"caughtUp":bool,"registries":[…],"beatMs":n,"speaks":2,
//    "heads":[[key,"seq",hash],…],"headsSig":b64url,"headsKey":id}
//
// The first line of a stream is a progress object with "registries": the keys of what the sender
// filters by. "beatMs" is there when the reader asked for it: the sender says something at least so
// often. "speaks" is there when the reader said what it speaks (replication/speech.h). Later ones
// tell of filtered stretches and of quiet ("caughtUp": nothing more is there now); they are the
// beats. "heads" says rows of the origin's heads (replication/feed_heads.h) as they changed, and a
// line with "headsSig" closes them: all rows that this stream said hold at its place. A reader
// ignores members that it does not know. feed_line_accept is the whole of what a reader believes:
// nothing it refused reaches the store. Pure; one `struct feed_rules` per stream.
//
// Version 1 of a reader refuses members that it does not know: it gets none but the first five, and
// those only as it asks for them.
#ifndef MERIDIAN_REPLICATION_FEED_LINE_H
#define MERIDIAN_REPLICATION_FEED_LINE_H

#include "config/topology.h"
#include "replication/feed_heads.h"
#include "replication/feed_proof.h"
#include "store/entry.h"

#define FEED_REGISTRIES_MAX 4096
#define FEED_BEAT_MIN_MS 100
#define FEED_BEAT_MAX_MS 60000
#define FEED_LINE_MAX ENTRY_LINE_MAX // a progress line keeps to the same ceiling
#define FEED_HEADS_LINE_MAX 512      // rows of heads in one line
#define FEED_GAP_SIZE 256
#define FEED_SPEAKS_HEADS 2 // a sender of this version signs heads

typedef int (*feed_verify_fn)(const char *spki_b64, const void *p, size_t n, const uint8_t sig[64]);

struct feed_rules { // what a reader holds against each line
    const struct topology *topology;
    // the reader
    const struct region *self;
    // whose feed this is; may be the reader itself (recovery)
    const struct region *origin;
    feed_verify_fn verify;
    // the last line's place; lines go up from here
    struct feed_mark last;
    // of the last entry of last.epoch that is known; 0: none
    uint64_t last_stamp;
    // a stamp above is of the future (store/meta.h); 0: none is
    uint64_t limit;
    // after ERR_AHEAD: that entry's stamp, and its place
    uint64_t ahead;
    struct feed_mark ahead_at;
    // the sender's version; 0: not said yet
    uint64_t their_topology;
    // after ERR_AUTH: the key of the entry, when the topology does not let it sign
    char refused_key[ENTRY_KEY_SIZE];
    // what a revoked key signed is no offence: FEED_VOID (a relay may not have heard of it)
    bool skip_void;
    // Of a revoked key, before the place of its revocation: what is proven is taken (feed_proof.h),
    // what contradicts it is refused. What is neither, behind a gap, is taken from the origin
    // itself, and void from anybody else.
    const struct feed_proof *proof;
    // the origin itself sends
    bool vouched;
    // after ERR_PROTO: the line's hash does not follow from the last one, which is at `last`
    bool chain_broken;
    // Of a sealed origin, whose entries other regions hand on: nothing past it is taken, and `proven`
    // moves by the running hash alone. NULL: it lives.
    const struct feed_seal *seal;
    // Up to here nothing is missing: how far the reader's mark may move. While not strict: `last`.
    struct feed_mark proven;
    // The sender says with signed heads what a hole in its lines leaves out. So does the origin
    // from its greeting on, if it speaks version 2; a relay is to be read so from the start.
    bool strict;
    // What this stream said of the origin's heads; and a row of what is held for each registry that
    // both share and the greeting names. NULL: they are not judged, and nothing is strict.
    struct feed_heads *said, *held;
    // Registries whose past is not here yet, by their keys, in strcmp's order: nothing of them is
    // taken now (replication/join.h), and `held` has no row of them.
    const char *const *left;
    size_t n_left;
    // after ERR_GAP: what is missing
    char gap[FEED_GAP_SIZE];
};

enum feed_line_kind {
    FEED_ENTRY,
    // true, but of a registry that this reader's topology does not give it, or that is left: not for
    // the store
    FEED_SKIPPED,
    // truly signed, but it restates what was not before it: to be passed over, that one alone
    FEED_MALFORMED,
    FEED_VOID, // signed by a revoked key, and not known to be good: see skip_void
    FEED_PROGRESS,
};

struct feed_line {
    enum feed_line_kind kind;
    // FEED_ENTRY, FEED_SKIPPED, FEED_MALFORMED
    struct feed_entry entry;
    // FEED_PROGRESS
    bool caught_up;
    // FEED_PROGRESS: NULL when the line has none
    const char **registries;
    size_t n_registries;
    // FEED_PROGRESS: 0 when the line does not say
    unsigned beat_ms;
    unsigned speaks;
};

// `line` is without its newline. Moves rules->last on success. ERR_PROTO (malformed, out of order,
// of another origin), ERR_AUTH (signature or key, or a key that is revoked), ERR_AHEAD (a good
// entry of the future: it and what follows must wait), ERR_GAP (entries were left out), ERR_NOMEM;
// *out_why is a sentence for the log, static or of `rules`.
int feed_line_accept(struct feed_rules *rules, struct bytes line, struct arena *a,
                     struct feed_line *out, const char **out_why);

// --- parts of it, for entries that come another way (replication/snapshot_page.h) ---
// Its key is the origin's and signed it in time. Uses topology, origin and verify of the rules.
// ERR_AUTH, ERR_PROTO, ERR_NOMEM, with *out_why as above.
int feed_signature_check(struct feed_rules *rules, const struct feed_entry *e,
                         const char **out_why);
// Is it the place of the seal?
bool feed_at_seal(const struct feed_seal *seal, const struct feed_mark *place);
// It is void by a revocation of its key, as far as `topology`, `proof` and `vouched` tell.
bool feed_entry_void(const struct feed_rules *rules, const struct feed_entry *e);
// Its inline content, which is there, is what its digest says.
bool feed_content_ok(const struct feed_entry *e);

struct feed_progress { // a progress line that is to be written
    const struct feed_mark *at;
    uint64_t topology_version;
    bool caught_up;
    // NULL: none said
    const char *const *registries;
    size_t n_registries;
    // 0: not said
    unsigned beat_ms, speaks;
    // at most FEED_HEADS_LINE_MAX; none: not said
    const struct head_row *heads;
    size_t n_heads;
    // of all rows said, at this place; NULL: not said
    const uint8_t *heads_sig;
    const char *heads_key;
};
int feed_progress_format(const struct feed_progress *p, struct buf *out);

// Gives each whole line of `text` to `line`, without its end, until one is refused; what remains in
// `text` is the beginning of the next, which the caller refuses when it is over FEED_LINE_MAX.
int feed_lines_take(struct buf *text, int (*line)(void *ctx, struct bytes text), void *ctx);

#endif
