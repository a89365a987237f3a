// SPDX-License-Identifier: Apache-2.0
// Beats that regions hand on: what parses is written so that the same parses again.
#include "fleet/beat.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct beat b, again;
    struct buf text;
    if (beat_parse(bytes_of(data, size), &b))
        return 0;
    buf_init(&text, 2 * BEAT_LINE_MAX);
    beat_format(&b, &text);
    if (text.err)
        abort();
    // a key may need escapes that the form does without: such a one is nobody's
    if (beat_parse(bytes_of(text.p, text.n), &again) == 0 &&
        (!control_place_same(&b.place, &again.place) || b.time_ms != again.time_ms ||
         b.has_answer != again.has_answer))
        abort();
    buf_done(&text);
    return 0;
}
