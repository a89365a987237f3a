// SPDX-License-Identifier: Apache-2.0
// `meridian topology change`: a change of registries, appended to the stream that nodes follow.
#include "cli/topology.h"

#include "base/err.h"
#include "base/fd.h"
#include "control/change.h"
#include "control/changes_file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int read_input(const char *path, struct buf *out)
{
    if (strcmp(path, "-") != 0)
        return file_read(path, CHANGE_MAX_BYTES, out);
    while (!out->err) {
        char *room = buf_room(out, 4096);
        ssize_t n = -1;
        if (room)
            n = read(STDIN_FILENO, room, 4096);
        if (n < 0 && errno == EINTR && !out->err)
            continue;
        if (n <= 0) {
            if (out->err)
                return out->err;
            if (n < 0)
                return err_from_errno(errno);
            return 0;
        }
        out->n += (size_t)n;
    }
    return out->err;
}

int topology_change(struct cli *c, int argc, char **argv)
{
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (rc)
        return rc;
    if (argc != 2)
        return cli_fail(EXIT_USAGE,
                        "topology change: give the file with the change, or - for standard input");
    AUTO_BUF struct buf text;
    struct diag d;
    uint64_t version = 0;
    buf_init(&text, CHANGE_MAX_BYTES);
    rc = read_input(argv[1], &text);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: %s", argv[1], err_text(rc));
    diag_init(&d);
    rc = changes_append(c->topology, 0, buf_cstr(&text), text.n,
                        !strcmp(argv[1], "-") ? "standard input" : argv[1], &d, &version);
    diag_print(&d, stderr);
    diag_done(&d);
    if (rc)
        return cli_fail(EXIT_FAILED, "the change was not appended to %s.changes: %s", c->topology,
                        err_text(rc));
    if (cli_json(c))
        return cli_print_json(c, json_pack("{s:s+, s:I}", "file", c->topology, ".changes",
                                           "version", (json_int_t)version));
    printf("%s.changes: version %llu\n", c->topology, (unsigned long long)version);
    return EXIT_DONE;
}
