// SPDX-License-Identifier: Apache-2.0
// Beats: the writer region's signed word on where the control feed ends, said at least every two
// seconds and handed on from region to region. Who holds everything up to the place that a beat
// names knows that what it has in force is as new as the beat.
//
//   {"beat":{"e":1,"s":42,"p":"<hex>","time":1764460800000},"k":"eastus-ctl-1a2b3c4d","g":"<b64url>"}
//
// `g` is Ed25519 (RFC 8032) over BEAT_PREFIX, e, s, p and time, each ended by a newline. A beat
// counts when its key is one of the writer region's in the topology in force, and when it is later
// than the last one that counted; so nobody can repeat an old one.
//
// A reader sends a nonce with its question, and the writer answers it: the line has two more members,
// "n" (the nonce, hex) and "a" (base64url), a signature by the same key over BEAT_ANSWER_PREFIX, the
// same four and the nonce. So the reader knows that the writer has said it after it was asked, whoever
// stands between: an edge that keeps old beats cannot pass them off as new. An answer is for that
// reader alone, and is not handed on.
//
//   struct beat b;
//   if (beat_parse(line, &b))
//       return ERR_INVAL;
//   int rc = beat_verify(&b, topology);
//   if (!rc && beat_answers(&b, nonce, topology) == 0)
//       …                                       // it is as new as the question
//
// Values; any thread.
#ifndef MERIDIAN_FLEET_BEAT_H
#define MERIDIAN_FLEET_BEAT_H

#include "base/bytes.h"
#include "config/topology.h"
#include "control/entry.h"
#include "control/place.h"

#include <stdbool.h>
#include <stdint.h>

#define BEAT_PREFIX "meridian control beat 1\n"
#define BEAT_ANSWER_PREFIX "meridian control beat answer 1\n"
#define BEAT_NONCE_BYTES 16
#define BEAT_LINE_MAX 1024

struct region_keys;

struct beat {
    struct control_place place;
    // wall, of the writer
    int64_t time_ms;
    char key[CONTROL_KEY_MAX + 1];
    uint8_t signature[CONTROL_SIGNATURE_BYTES];
    // it has an answer to a nonce
    bool has_answer;
    uint8_t nonce[BEAT_NONCE_BYTES];
    uint8_t answer[CONTROL_SIGNATURE_BYTES];
};

// A line with or without its newline. ERR_INVAL.
int beat_parse(struct bytes line, struct beat *out);
void beat_format(const struct beat *b, struct buf *out); // with its newline; out->err
// ERR_NOTFOUND: these keys have none for the control feed.
int beat_sign(const struct region_keys *keys, const struct control_place *place, int64_t time_ms,
              struct beat *out);
// Adds the answer to that nonce to a beat that these keys have signed. ERR_NOTFOUND likewise.
int beat_answer(const struct region_keys *keys, const uint8_t nonce[BEAT_NONCE_BYTES],
                struct beat *b);
// 0; ERR_AUTH: it is not the word of the writer that the topology names.
int beat_verify(const struct beat *b, const struct topology *t);
// 0; ERR_AUTH: it has no answer of that writer to this nonce.
int beat_answers(const struct beat *b, const uint8_t nonce[BEAT_NONCE_BYTES],
                 const struct topology *t);

#endif
