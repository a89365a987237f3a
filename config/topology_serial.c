// SPDX-License-Identifier: Apache-2.0
// The `zone_serial` section: what keeps the serial of fe.D where it is. Its rows, and what they are
// checked for; what is made of it is in frontend.h. See topology_priv.h.
#include "config/topology_priv.h"

#include "base/digest.h"
#include "base/mem.h"

#include <string.h>

#define OFFSET_MAX 1000000000 // serials further apart than 2^31 have no order (RFC 1982)

static bool content_ok(const char *s)
{
    return strlen(s) == 2 * (size_t)SHA256_BYTES &&
           strspn(s, "0123456789abcdef") == 2 * (size_t)SHA256_BYTES;
}

static const struct option rows[] = {
    {"serial", OPT_INT, OPT_AT(struct spec_zone_serial, serial), .min = 1, .max = INT64_MAX,
     .help = "the serial of fe.D in the place of the document's version, while fe.D has the "
             "content given; not above that "
             "version; meridian topology pin writes both"},
    {"content", OPT_STRING, OPT_AT(struct spec_zone_serial, content), .check = content_ok,
     .expect = "64 lower-case hex digits",
     .help = "SHA-256 of what fe.D says, all but the serial, when it was pinned"},
    {"offset", OPT_INT, OPT_AT(struct spec_zone_serial, offset), .def = "0", .max = OFFSET_MAX,
     .help = "added to the serial, so that it does not go down when signing ends; meridian dns "
             "keys withdraw raises it"},
};
const struct option_set spec_zone_serial_set = {rows, ARRAY_LEN(rows),
                                                sizeof(struct spec_zone_serial),
                                                offsetof(struct spec_zone_serial, node)};

void topology_build_zone_serial(struct topology_build *b)
{
    const struct spec_zone_serial *s = &b->s->zone_serial;
    struct zone_serial *out = &b->t->frame->serial;
    out->offset = s->offset;
    if (!doc_get(s->node, "serial") != !doc_get(s->node, "content"))
        options_error(b->ctx, s->node->key_line,
                      "zone_serial: serial and content pin together; one of them is missing");
    else if (s->serial > b->s->version && b->s->version)
        options_error(b->ctx, doc_key_line(s->node, "serial"),
                      "zone_serial: serial %llu is higher than the document's version, %llu: what "
                      "comes next would not "
                      "be higher than it",
                      (unsigned long long)s->serial, (unsigned long long)b->s->version);
    else if (s->content &&
             !hex_parse(s->content, 2 * (size_t)SHA256_BYTES, out->pin_of, SHA256_BYTES))
        out->pin = s->serial;
}
