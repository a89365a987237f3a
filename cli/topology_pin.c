// SPDX-License-Identifier: Apache-2.0
// `meridian topology pin`: the serial of fe.D stays what it is until its content changes.
#include "cli/topology.h"

#include "base/err.h"
#include "base/mem.h"
#include "cli/edit.h"
#include "config/frontend.h"

static bool is_pinned(const struct topology *t, const void *ctx)
{
    (void)ctx;
    return frontend_pinned(t);
}

int topology_pin(struct cli *c, int argc, char **argv)
{
    bool renew = false;
    const struct opt rows[] = {
        {0, "renew", NULL, "the serial is to be a new one, the version", NULL, &renew}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (argc > 2)
        return cli_fail(EXIT_USAGE, "topology pin: one file at a time");
    if (argc == 2)
        c->topology = argv[1];
    rc = edit_begin(c);
    if (rc)
        return rc;
    const struct zone_serial *s = &c->topo->frame->serial;
    uint64_t serial;
    if (renew)
        serial = c->topo->version + 1;
    else
        serial = s->base;
    const struct edit_section section = {"zone_serial",
                                         edit_zone_serial(c, serial, s->content, s->offset)};
    if (!section.text)
        return cli_fail(EXIT_FAILED, "%s is left as it was: %s", edit_name(c), err_text(ERR_NOMEM));
    if (renew || !frontend_pinned(c->topo))
        rc = edit_commit(c, &section, 1, is_pinned, NULL);
    if (rc)
        return rc;
    return cli_done(
        c, json_pack("{s:s, s:I}", "file", edit_name(c), "frontendSerial", (json_int_t)serial),
        "%s: the serial of fe.D is pinned at %llu", edit_name(c), (unsigned long long)serial);
}
